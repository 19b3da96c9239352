"""Calls into a device library that may raise anything, or never return.

Responsible for turning whatever comes out into one ``DeviceFault``, and for deadlines. Refuses to know what is called.

Invariant: no exception object of the library is kept. Its traceback would hold on to camera buffers, which then are never freed
(measured with picamera2 0.3.38: BufferError in the allocator, descriptors leak); its text is all that stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from hal.errors import DeviceFault, HalError

T = TypeVar("T")


def guarded(what: str, call: Callable[[], T]) -> T:
    """``call()``; whatever it raises becomes a ``DeviceFault`` that begins with ``what``. ``HalError`` passes."""
    try:
        return call()
    except HalError:
        raise
    except Exception as error:  # noqa: BLE001 - the port template: picamera2, libcamera's bindings and their C++ raise what they like
        failure = f"{what}: {error.args[0] if error.args and isinstance(error, RuntimeError) else repr(error)}"
    raise DeviceFault(failure)  # here and not above: there it would carry the library's traceback along


def bounded(what: str, call: Callable[[], object], seconds: float) -> str:
    """Run ``call`` on a thread of its own; '' when it returned in time, else what went wrong. A call that hangs keeps its thread."""
    outcome = [f"{what}: no answer within {seconds:g} s"]

    def run() -> None:
        try:
            guarded(what, call)
            outcome[0] = ""
        except HalError as error:
            outcome[0] = str(error)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0]
