"""What the documents lean on is there: every test that one names, every link, every kind of leaf, and what is said to be unused."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from firmware.custody.entries import KINDS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["format.md", "threat-model.md", "time.md", "custody.md", "what-happens-when.md"]
PAGES = [*(ROOT / "docs" / name for name in DOCUMENTS), ROOT / "docs" / "architecture.md", ROOT / "docs" / "keys.md", ROOT / "README.md"]
PAGES.append(ROOT / "docs" / "scenarios.md")


@cache
def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)}


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_test_that_is_named_exists(name: str) -> None:
    cited = re.findall(r"tests/[\w/]+\.(?:py|go)(?:::\w+)?", text_of(name))
    missing = []
    for one in cited:
        file, _, function = one.partition("::")
        path = ROOT / file
        if not path.is_file() or (function and function not in names_in(path)):
            missing.append(one)
    assert missing == []
    assert len(cited) > 0


def test_every_guarantee_of_the_threat_model_names_a_test() -> None:
    """Each row of a table "could not | because | shown by", and each answer to an allegation."""
    rows, guarded = 0, False
    for line in text_of("threat-model.md").splitlines():
        if line.startswith(("| could not |", "| alleges |")):
            guarded = True
        elif not line.startswith("|"):
            guarded = False
        elif guarded and not line.startswith("| --- |"):
            rows += 1
            assert "tests/" in line or "time.md" in line, line
    assert rows > 30


def test_every_row_of_what_happens_when_names_a_test() -> None:
    lines = text_of("what-happens-when.md").splitlines()
    rows = [line for line, before in zip(lines, ["", *lines], strict=False) if line.startswith("| ") and before.startswith("|")]
    rows = [line for line in rows if not line.startswith("| --- |")]
    assert [line for line in rows if "tests/" not in line] == []
    assert len(rows) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if target and "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES[:4], ids=lambda page: page.name)
def test_links_within_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    heads = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= heads


def test_the_pages_are_linked() -> None:
    for page in ("README.md", "docs/architecture.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert [name for name in DOCUMENTS if name not in text] == [], page


def kinds_table() -> dict[str, str]:
    """Kind → its row in custody.md."""
    _, _, rest = text_of("custody.md").partition("<!-- kinds -->\n")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return {kind: row for row in rows for kind in re.findall(r"`([a-z]+)`", row.split(" | ")[0])}


def test_custody_speaks_of_every_kind_of_leaf() -> None:
    assert sorted(kinds_table()) == sorted(KINDS)


def test_reserved_kinds_are_those_that_nothing_writes() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "firmware").rglob("*.py"))
    written = set(re.findall(r'(?:Draft|Write|submit_entry)\(\s*"([a-z]+)"', source))
    written |= {kind for one in re.findall(r'Draft\("(\w+)" if \w+ else "(\w+)"', source) for kind in one}
    reserved = {kind for kind, row in kinds_table().items() if "reserved" in row}
    assert reserved == KINDS.keys() - written


def test_one_place_sets_the_clock() -> None:
    """time.md says which, and in which order."""
    callers = [path.name for path in (ROOT / "firmware").rglob("*.py") if ".set_wall(" in path.read_text(encoding="utf-8")]
    assert callers == ["timekeeper.py"]


def test_policies_are_compared_with_the_one_before_where_they_are_delivered_only() -> None:
    """threat-model.md says so."""
    callers = [path for path in (ROOT / "firmware").rglob("*.py") if re.search(r"import .*\baccept\b", path.read_text(encoding="utf-8"))]
    assert [path.name for path in callers] == ["deliveries.py"]
