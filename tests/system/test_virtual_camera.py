"""The virtual camera as a user has it: a page in a real browser, in real time, and what comes out of it checked by other commands.

The browser's events carry the instants of the finger, so a press is as long as it says however busy this machine is.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import DOUBLE, HOLD, TAP, Browser
from camerabench import SMALL

from tools.policies import read_profile

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("realtime")]

OATHCAM = [sys.executable, "-P", "-m", "tools.cli"]
FIRST, SECOND = "SIM-0001-000001-0001", "SIM-0001-000001-0002"
STATE = "document.body.dataset.state"


def small_profile(directory: Path) -> Path:
    """Small pictures and a short buffer: the test is about the page."""
    _, text = read_profile("default")
    for old, new in {
        **SMALL,
        "seconds = 30": "seconds = 3",
        "pause_ms = 2500": "pause_ms = 5000",
        "wait_seconds = 8": "wait_seconds = 30",
    }.items():
        assert old in text
        text = text.replace(old, new, 1)
    path = directory / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("web")
    command = [*OATHCAM, "sim", "--web", "--port", "0", "--profile", str(small_profile(directory)), "--keep", str(directory / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, (line, process.stderr and process.stderr.read())
        yield found[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        told = process.stderr.read().splitlines()
        assert [line for line in told if not line.startswith("not in an export log")] == []


@pytest.fixture(scope="module")
def page(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        browser.size(1400, 1000)
        browser.go(server)
        browser.until(f"{STATE} === 'ready'")
        yield browser


def in_state(page: Browser, name: str) -> None:
    page.until(f"{STATE} === {json.dumps(name)}")


def start_recording(page: Browser, press: Callable[[], None]) -> None:
    """A machine that is held up for half a second between two messages makes two taps of a double press; they ask for nothing."""
    for _ in range(3):
        press()
        if page.becomes(f"{STATE} === 'recording'", 20):
            return
    in_state(page, "recording")


def subject_lamp(page: Browser, colour: str) -> None:
    page.until(f"document.getElementById('lamp-subject').dataset.colour === {json.dumps(colour)}")


def recording(name: str) -> str:
    return f'.recording[data-recording="{name}"]'


def enabled(page: Browser, name: str) -> None:
    page.until(f"document.querySelector('{recording(name)} button:not(:disabled)') !== null")


def judge(page: Browser, button: str, box: str) -> str:
    """Press a verify button and wait for its word."""
    page.value(f"document.querySelector({json.dumps(box)}).replaceChildren()")
    page.click(button)
    return page.until(f"document.querySelector({json.dumps(box + ' strong')})?.textContent")


def test_press_twice_mark_and_hold(page: Browser) -> None:
    """By mouse, then by key: lamps, state, drawing and ledger follow; the picture moves."""
    page.until("document.getElementById('no-picture').hidden")
    page.value("window.before = document.getElementById('picture').toDataURL()")
    page.until("document.getElementById('picture').toDataURL() !== window.before")
    start_recording(page, lambda: page.press_mouse("#record", DOUBLE))
    subject_lamp(page, "red")
    page.until("document.getElementById('state-recording').classList.contains('lit')")
    page.until("document.getElementById('announce').textContent.startsWith('Camera: recording')")
    page.until("document.getElementById('cue').textContent.includes('recording')")
    page.press_key("r", TAP)
    page.until("document.getElementById('leaves').textContent.includes('set a mark')")
    page.press_key("r", HOLD)
    in_state(page, "ready")
    subject_lamp(page, "off")
    page.until("document.getElementById('leaves').textContent.includes('the wearer held the button')")
    assert "1 mark" in page.text(recording(FIRST))


def test_a_category_is_chosen_from_the_list_that_the_page_shows(page: Browser) -> None:
    """BWC-POL-18: a tap of the function button opens the list, each further one steps, a pause takes; the answer is a sealed leaf."""
    current = "document.querySelector('#question-choices li[aria-current=true]')"
    assert page.value("document.getElementById('question').hidden")
    page.press_key("f", TAP)
    page.until("!document.getElementById('question').hidden")
    assert page.text("#question-title") == "Which category is it?"
    assert page.value(f"{current} === null")
    page.press_key("f", (0.0, 0.08, 0.4, 0.48))
    page.until(f"{current} === document.querySelector('#question-choices li:nth-child(2)')")
    assert page.text("#announce").startswith("2: ")
    page.until("document.getElementById('question').hidden")
    page.until("document.getElementById('leaves').textContent.includes('a category')")


def test_the_page_verifies_what_it_shows(page: Browser) -> None:
    enabled(page, FIRST)
    assert judge(page, f"{recording(FIRST)} .primary", f"{recording(FIRST)} .judged") == "authentic"


def test_the_sealed_recording_is_checked_by_the_command(page: Browser, tmp_path: Path) -> None:
    page.click(f"{recording(FIRST)} button:nth-child(1)")
    with zipfile.ZipFile(page.downloaded(f"{FIRST}.sealed.zip")) as archive:
        archive.extractall(tmp_path)
    base = tmp_path / FIRST
    assert "oathcam verify" in (base / "README.txt").read_text(encoding="utf-8")
    command = [*OATHCAM, "verify", str(base / "SIM-0001" / "vault" / FIRST), "--trust", str(base / "agency" / "root.crt")]
    done = subprocess.run([*command, "--key", str(base / "agency" / "agency.key"), "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["verdict"] == "authentic"


def test_the_opened_film_is_one(page: Browser) -> None:
    page.click(f"{recording(FIRST)} button:nth-child(2)")
    film = page.downloaded(f"{FIRST}.mp4").read_bytes()
    assert film[4:8] == b"ftyp"
    assert len(film) > 20_000


def test_pull_the_battery_and_boot_again(page: Browser) -> None:
    """By keyboard alone; what was promised before the cut is closed at the next boot, which says so."""
    page.value("document.getElementById('record').focus()")
    start_recording(page, lambda: page.press_key(" ", DOUBLE))
    page.until(f"/[2-9] s kept/.test(document.querySelector('{recording(SECOND)}')?.textContent)")
    page.click("#battery-out")
    in_state(page, "off")
    subject_lamp(page, "off")
    page.click("#battery-out")
    in_state(page, "ready")
    page.until("document.getElementById('leaves').textContent.includes('after it had lost its power')")
    page.until("document.getElementById('leaves').textContent.includes('power was lost; closed at this boot')")
    enabled(page, SECOND)
    assert judge(page, f"{recording(SECOND)} .primary", f"{recording(SECOND)} .judged") == "authentic"


def test_what_is_around_it(page: Browser) -> None:
    """A dial and a fault reach the camera, and what it says of them comes back."""
    page.value("const e = document.getElementById('heat'); e.value = 90; e.dispatchEvent(new Event('change'))")
    page.until("document.getElementById('leaves').textContent.includes('Power: hot')")
    page.value("const c = document.getElementById('fault-camera'); c.value = 'fails'; c.dispatchEvent(new Event('change'))")
    in_state(page, "fault")
    page.until("document.getElementById('lamp-status').classList.contains('blinks')")
    page.value("const d = document.getElementById('fault-camera'); d.value = 'none'; d.dispatchEvent(new Event('change'))")
    in_state(page, "ready")
    page.click("#cover")
    page.until("document.getElementById('cover').getAttribute('aria-pressed') === 'true'")
    page.click("#cover")
    page.until("document.getElementById('cover').getAttribute('aria-pressed') === 'false'")


def test_the_dock_takes_everything(page: Browser) -> None:
    """A real station: receipts come back, the camera releases, and the store alone is authentic then."""
    page.click("#dock")
    in_state(page, "docked")
    page.until("(document.getElementById('recording-list').textContent.match(/released it/g) ?? []).length === 2", seconds=120)
    page.until("/receipted.*leaves held/.test(document.getElementById('dock-said').textContent)")
    assert judge(page, f"{recording(FIRST)} .primary", f"{recording(FIRST)} .judged") == "authentic"
    assert judge(page, "#verify-all", "#verify-all-result") == "authentic"
    page.click("#dock")
    in_state(page, "ready")


def test_what_was_done_is_a_scenario(page: Browser) -> None:
    """Saved, replayed by the command, and found to be the same."""
    page.value("document.getElementById('scenario-name').value = 'from-the-page'")
    page.click("#scenario-save")
    path = page.downloaded("from-the-page.toml", seconds=180)
    text = path.read_text(encoding="utf-8")
    assert text.count('do = "press"') == text.count('do = "release"') >= 6
    assert 'ends = ["button", "power-loss"]' in text
    done = subprocess.run([*OATHCAM, "sim", str(path), "--json"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["found"]["leaves"]["receipt"] == 2


def test_start_over(page: Browser) -> None:
    page.click("#new")
    page.until("document.getElementById('recording-list').textContent.includes('None yet')")
    in_state(page, "ready")
    assert page.text("#scenario-count") == "Nothing was done yet"


@pytest.mark.parametrize("width", [340, 390, 820, 1100, 1480])
def test_every_width_fits(page: Browser, width: int) -> None:
    for dark in (False, True):
        page.size(width, 900, dark=dark, mobile=width < 500)
        assert page.value("document.documentElement.scrollWidth") <= width
    page.size(1400, 1000)


def test_everything_has_a_name(page: Browser) -> None:
    """What a screen reader meets: every control, the picture and the drawing are named."""
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = [
        one for one in nodes if one.get("role", {}).get("value") in ("button", "slider", "combobox", "checkbox", "textbox", "image")
    ]
    assert len(controls) > 20
    assert [one for one in controls if not one.get("name", {}).get("value")] == []


def test_the_console_stays_silent(page: Browser) -> None:
    assert page.complaints() == []


# --- who is answered


def ask(server: str, method: str, path: str, headers: dict[str, str], body: str = "") -> int:
    place = urlsplit(server)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Host": place.netloc} | headers | ({"Content-Length": str(len(body))} if method == "POST" else {})).items():
        connection.putheader(name, value)
    connection.endheaders(body.encode() or None)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"Host": "evil.example"}),
        ("GET", "/static/app.js", {"Host": "127.0.0.1:1"}),
        ("GET", "/recordings/x.zip", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/events", {"Origin": "http://evil.example"}),
        ("POST", "/act", {}),
        ("POST", "/act", {"X-Oathcam-Token": "guessed"}),
        ("PUT", "/act", {}),
    ],
)
def test_who_is_not_answered(server: str, method: str, path: str, headers: dict[str, str]) -> None:
    assert ask(server, method, path, headers, "{}" if method == "POST" else "") == 403


def test_what_is_refused_says_so(page: Browser) -> None:
    script = """(async () => { const t = document.querySelector('meta[name="token"]').content;
      const ask = async (path, body) => { const a = await fetch(path, {method: 'POST', headers: {'x-oathcam-token': t}, body});
        return [a.status, (await a.json()).error]; };
      const erase = await ask('/act', '{"actions": [{"do": "erase"}]}');
      return [erase, await ask('/act', 'x'), await ask('/verify', '{"recording": "../x"}')]; })()"""
    erase, broken, outside = page.value(script)
    assert erase == [400, "'erase' is no action"]
    assert broken == [400, "expected a JSON object"]
    assert outside == [400, "there is no recording '../x'"]
    # The three were refused as they should be; the browser notes every such status.
    page.events.clear()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_only_this_machine_is_served(host: str) -> None:
    done = subprocess.run([*OATHCAM, "sim", "--web", "--host", host], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "served on this machine only" in done.stderr
