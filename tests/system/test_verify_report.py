"""The expert's page as a user makes it, in a real browser and on paper."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from absent import need_program
from camerabench import RECORDING, make_camera_bench

from hal.interfaces import ButtonName

pytestmark = pytest.mark.system

OATHCAM = [sys.executable, "-m", "tools.cli"]
SECTIONS = ("verdict", "scope", "shift1", "recordings", "custody", "clock", "keys", "certificate-facts", "hashes")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--enable-logging=stderr"]
QUIET += ["--disable-background-networking", "--disable-component-update"]


def chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [need_program("chromium"), *QUIET, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, agency):
    """A recording with a mark and a mute, a second one into a power loss, a boot after it."""
    bench = make_camera_bench(tmp_path_factory.mktemp("camera"), agency, 0, 1, {}, 7)
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(4))
    bench.world.press(ButtonName.RECORD, bench.at(6), hold_ms=3300)
    bench.world.double_press(bench.at(12))
    bench.world.cut_power(bench.at(15))
    bench.run_into_cut()
    bench.world.run_until(bench.at(20))
    bench.run(24)
    return bench


def make(bench, agency, page: Path, *more: str, card: Path | None = None) -> str:
    command = [*OATHCAM, "verify", str(card or bench.card), "--trust", str(agency.directory / "root.crt"), "--report", str(page), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1, 3), done.stderr
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(bench, agency, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    make(bench, agency, path, "--key", str(agency.directory / "agency.key"))
    return path


def test_the_page_in_a_browser(page: Path, tmp_path: Path) -> None:
    """BWC-POL-32: every section is there, nothing is fetched, the console stays silent."""
    done = chromium(tmp_path, "--dump-dom", "--virtual-time-budget=2000", page.as_uri())
    for section in SECTIONS:
        assert f'id="{section}"' in done.stdout, section
    assert re.search(r'id="verdict" class="card verdict authentic">\s*<strong>authentic</strong>', done.stdout)
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/jpeg;base64,', done.stdout)) >= 6
    assert not re.search(r"CONSOLE", done.stderr), done.stderr
    assert not re.search(r'(?:src|href)="(?!data:)', done.stdout)
    assert not re.search(r"url\(|@import|<script", done.stdout)
    shot = tmp_path / "page.png"
    chromium(tmp_path, "--window-size=1200,2400", f"--screenshot={shot}", page.as_uri())
    assert shot.stat().st_size > 50_000


def test_the_page_on_paper(page: Path, tmp_path: Path) -> None:
    """Several pages, with everything on them that the screen shows."""
    pdf = tmp_path / "report.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 4
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], check=True, capture_output=True, text=True).stdout
        for words in ("authentic", "What was checked", "Chain of custody", "Clock", "not legal advice", "Hash list", "page 1 of"):
            assert words in text, words


def test_what_the_page_says(page: Path, bench) -> None:
    """BWC-POL-32: process, firmware hash, hash list with method, clock, key protection, each read from signed objects."""
    text = page.read_text(encoding="utf-8")
    manifest = bench.manifest(RECORDING)
    assert manifest.device.firmware_sha256 in text
    for record in manifest.fragments:
        assert record.plain_sha256 in text
        assert record.sealed_sha256 in text
    for words in (
        "FIPS 180-4",
        "not a certificate, and not legal advice",
        "belongs to the simulator",
        "power-loss",
        "no-witness",
        "pressed",
    ):
        assert words in text, words
    assert "unaccounted 0.0 s" in text


def test_a_page_of_a_tampered_card_says_where(bench, agency, tmp_path: Path) -> None:
    card = tmp_path / "card"
    shutil.copytree(bench.card, card)
    path = card / "vault" / RECORDING / "000001.m4s.p7m"
    path.write_bytes(path.read_bytes()[:-1])
    text = make(bench, agency, tmp_path / "report.html", "--key", str(agency.directory / "agency.key"), card=card)
    assert '<section id="verdict" class="card verdict not_authentic">' in text
    failed = text[text.index("What failed") : text.index('id="scope"')]
    assert "000001.m4s.p7m" in failed
    assert "sealed-differs" in failed


def test_without_a_root_the_page_says_what_is_missing(bench, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    command = [*OATHCAM, "verify", str(bench.card), "--report", str(page)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=120).returncode == 3
    text = page.read_text(encoding="utf-8")
    assert '<section id="verdict" class="card verdict cannot_tell">' in text
    assert "Give the agency" in text
