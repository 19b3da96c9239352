"""What never imports what. The contracts are in pyproject.toml; here they are held, and seen to break when broken.

Import-linter follows chains between modules; the tests below add what it cannot see: who names a back-end, whether an import
hides in a string, and what is really loaded by the interpreter of somebody who only verifies.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("firmware", "hal", "tools")
BACKENDS = ("hal.backends", "hal.pi", "hal.sim", "hal.pc")
COMPOSITION_ROOTS = {"firmware.__main__"}
"""With :data:`TOOL_ROOTS` the only modules that may name a back-end, but for a back-end itself."""
TOOL_ROOTS = {"tools.shift", "tools.doctor", "tools.run", "tools.simulated", "tools.scenario_run", "tools.simweb.session"}
"""The tools that open a camera: they run it, or check it; the last three have the simulator's world in their hands."""


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a source names in an import, inside functions too; ``from a import b`` may mean ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute: a reader sees the room that a name comes from"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def backends_named(tree: ast.AST) -> set[str]:
    return {backend for name in imported(tree) for backend in BACKENDS if name == backend or name.startswith(f"{backend}.")}


def imports_by_string(tree: ast.AST) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "__import__") or (isinstance(node, ast.Attribute) and node.attr == "import_module")
        for node in ast.walk(tree)
    )


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    return subprocess.run([*command, "--no-cache", "--no-logo"], cwd=directory, capture_output=True, text=True, check=False)


def test_contracts_hold() -> None:
    """tools → firmware → hal.interfaces; pure modules touch no world; back-ends never meet."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("firmware/evidence/jcs.py", "import os", "pure modules"),
        ("firmware/machine/states.py", "from hal.interfaces import ButtonName", "pure modules"),
        ("firmware/timebase.py", "from firmware import config", "pure modules"),
        ("firmware/errors.py", "from tools import console", "tools use firmware"),
        ("firmware/recorder.py", "from hal.sim import world", "composition roots"),
        ("hal/interfaces.py", "from hal.sim import world", "ports know no back-end"),
    ],
)
def test_contracts_can_break(tmp_path: Path, module: str, line: str, contract: str) -> None:
    """One forbidden import anywhere is found, so that the test above means something."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    broken = [row for row in done.stdout.splitlines() if " BROKEN" in row]
    assert any(contract in row for row in broken), done.stdout + done.stderr


def test_only_composition_roots_name_a_backend() -> None:
    """Nothing below the composition roots can tell a simulated camera from a real one, and the back-ends never meet."""
    found = {name: backends_named(ast.parse(path.read_text())) for name, path in modules()}
    foreign = {name: named - {".".join(name.split(".")[:2])} for name, named in found.items()}
    assert {name: named for name, named in foreign.items() if named and name not in COMPOSITION_ROOTS | TOOL_ROOTS} == {}


def test_no_import_hides_in_a_string() -> None:
    """A contract can only hold what it can see. The one exception chooses the back-end that the composition root named."""
    assert [name for name, path in modules() if imports_by_string(ast.parse(path.read_text()))] == ["hal.backends"]


@pytest.mark.parametrize(
    "source",
    ["import hal.sim.world", "def f():\n    from hal import sim", "from hal.backends import open_hal", "import hal.pc as camera"],
)
def test_naming_a_backend_is_seen(source: str) -> None:
    assert len(backends_named(ast.parse(source))) == 1


@pytest.mark.parametrize("source", ["__import__('os')", "import importlib\nimportlib.import_module('os')"])
def test_import_by_string_is_seen(source: str) -> None:
    assert imports_by_string(ast.parse(source))


def test_verifying_needs_no_camera() -> None:
    """What ``oathcam verify`` and ``oathcam open`` are made of loads no device, no storage, no network and no codec: it runs on a lawyer's
    laptop (BWC-POL-24: verifiable offline with public code)."""
    inside = [
        name for name, _ in modules() if name.split(".")[:2] in (["firmware", "evidence"], ["firmware", "custody"], ["firmware", "media"])
    ]
    program = f"import sys, json\nfor name in {inside!r}: __import__(name)\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert set(inside) <= loaded
    rooms = {name.split(".")[1] for name in loaded if name.startswith("firmware.")}
    assert rooms <= {"evidence", "custody", "media", "errors", "timebase"}
    assert not {name for name in loaded if name.split(".")[0] in {"hal", "tools", "av", "cv2", "numpy", "gpiozero", "picamera2"}}
