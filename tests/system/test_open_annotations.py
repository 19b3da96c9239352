"""``oathcam open`` and ``oathcam verify --report`` say what the wearer answered, to who has a key."""

from __future__ import annotations

from collections.abc import Callable

from typer.testing import CliRunner

from hal.interfaces import ButtonName
from tools.cli import app


def test_open_and_report_tell_the_category_and_without_a_key_nobody_does(make_bench: Callable, tmp_path) -> None:
    """BWC-POL-04, BWC-POL-18, BWC-POL-33."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    for second in (4, 5, 6):
        bench.world.press(ButtonName.FUNCTION, bench.at(second))
    bench.world.press(ButtonName.RECORD, bench.at(12), hold_ms=3300)
    bench.run(18)
    key, root = bench.agency.directory / "agency.key", bench.agency.directory / "root.crt"
    opened = CliRunner().invoke(app, ["open", str(bench.card), "--key", str(key), "--trust", str(root), "-o", str(tmp_path / "out")])
    assert opened.exit_code == 0, opened.output
    assert "category: SEARCH" in opened.output
    for arguments, words in ((["--key", str(key)], "category: SEARCH"), ([], "sealed annotation: category")):
        page = tmp_path / f"report-{len(arguments)}.html"
        checked = CliRunner().invoke(app, ["verify", str(bench.card), "--trust", str(root), "--report", str(page), *arguments])
        assert checked.exit_code in (0, 3), checked.output
        text = page.read_text(encoding="utf-8")
        assert words in text
        assert ("SEARCH" in text) is bool(arguments)
