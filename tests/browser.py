"""Debian's Chromium, headless, driven by its DevTools protocol over two pipes: no driver program, no port, no websocket."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from absent import need_program

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--mute-audio",
    "--hide-scrollbars",
]
FLAGS += [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
]
DOUBLE, HOLD, TAP = (0.0, 0.08, 0.23, 0.31), (1.0, 4.6), (0.0, 0.08)
"""Seconds: two short presses; one long enough to stop, late enough not to be the second of a double press; a short one."""
PAUSE = 0.3
"""Seconds of real time from one gesture's end to the next one's beginning. Events say when the finger moved, but a page that is quick
shows what a gesture does before its last instant: the next would begin within it, and be a bounce."""
KEYS = {"r": ("r", "KeyR", 82), "f": ("f", "KeyF", 70), " ": (" ", "Space", 32), "Tab": ("Tab", "Tab", 9), "Enter": ("Enter", "Enter", 13)}


class Browser:
    """One window with one page. Everything waits; nothing sleeps longer than it must."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._number = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []
        self.downloads = profile / "downloads"
        self.downloads.mkdir(parents=True)

    def __enter__(self) -> Browser:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        # Chromium reads commands from descriptor 3 and answers on 4.
        command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", need_program("chromium"), *flags],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session = ""
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command, and its answer; events that come meanwhile are kept."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == number:
                assert "error" not in found, (method, found["error"])
                return found["result"]
            self.events.append(found)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            data = os.read(self._in, 1 << 16)
            assert data, "chromium ended"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\0")
        return json.loads(line)

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, (expression, done["exceptionDetails"])
        return done["result"].get("value")

    def until(self, expression: str, seconds: float = 60, done: Callable[[Any], bool] = bool) -> Any:
        """The value of ``expression``, as soon as ``done`` says that it will do."""
        deadline = time.monotonic() + seconds
        while not done(value := self.value(expression)):
            assert time.monotonic() < deadline, (expression, value, self.value("document.body.innerText")[:1500])
            time.sleep(0.05)
        return value

    def becomes(self, expression: str, seconds: float) -> bool:
        """Whether ``expression`` is true within that time."""
        deadline = time.monotonic() + seconds
        while not (found := bool(self.value(expression))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def text(self, selector: str) -> str:
        return self.value(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def middle(self, selector: str) -> tuple[float, float]:
        """Where to click, after scrolling there."""
        script = f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
        box = self.value(script + " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()")
        return box[0], box[1]

    def click(self, selector: str) -> None:
        self.press_mouse(selector, (0.0, 0.08))

    def press_mouse(self, selector: str, instants: Sequence[float]) -> None:
        """Down, up, down, up … at these instants, in seconds: the events carry them, however slow this machine is just now. Returns when
        the gesture is over."""
        x, y = self.middle(selector)
        begin = time.time()
        for index, instant in enumerate(instants):
            kind, buttons = ("mousePressed", 1) if index % 2 == 0 else ("mouseReleased", 0)
            at = {"x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1, "timestamp": begin + instant}
            self.call("Input.dispatchMouseEvent", type=kind, **at)
        _let_pass(begin + instants[-1])

    def press_key(self, key: str, instants: Sequence[float]) -> None:
        """As :meth:`press_mouse`, on the keyboard."""
        name, code, number = KEYS[key]
        begin = time.time()
        for index, instant in enumerate(instants):
            kind = "keyDown" if index % 2 == 0 else "keyUp"
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=code, windowsVirtualKeyCode=number, timestamp=begin + instant)
        _let_pass(begin + instants[-1])

    def size(self, width: int, height: int, dark: bool = False, mobile: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def shot(self, path: Path, whole: bool = False) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def downloaded(self, name: str, seconds: float = 90) -> Path:
        """A file that the page has saved, once it is whole."""
        path = self.downloads / name
        deadline = time.monotonic() + seconds
        while not path.is_file():
            assert time.monotonic() < deadline, (name, os.listdir(self.downloads), self.value("document.body.innerText")[-1500:])
            self.value("1")
            time.sleep(0.05)
        return path

    def complaints(self) -> list[str]:
        """What the console says against the page."""
        self.value("1")
        told = [one["params"] for one in self.events if one.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
        return [json.dumps(one) for one in told if "exceptionDetails" in one or one["entry"]["level"] == "error"]


def _let_pass(end: float) -> None:
    """Until a gesture that ends then is over, and the next one may begin."""
    time.sleep(max(0.0, end + PAUSE - time.time()))
