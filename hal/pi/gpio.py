"""The header's GPIO controller, through gpiozero's lgpio factory and no other.

Responsible for finding the controller by its label, for telling gpiozero which board this is, and for turning what lgpio and
gpiozero raise into errors of ours. Refuses gpiozero's chain of fall-backs, which ends with pins that are not these, and knows no port.

lgpio makes a named pipe in the working directory when it is imported and opens it by a relative name (joan2937/lg#12, #22): it is
imported in a directory of its own, which is gone again once both ends are open.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hal.errors import DeviceFault, HalUnavailable
from hal.pi.board import Board

_REMEDY = "add the service's user to the group gpio, and check that the overlays in config.txt leave the header to this program"


class Gpio:
    """The opened controller. ``factory`` is gpiozero's; ports give it to every device that they make."""

    def __init__(self, factory: Any, errors: tuple[type[Exception], ...], chip: str) -> None:
        self.factory = factory
        self.chip = chip
        """Name of its device node."""
        self._errors = errors

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """``DeviceFault`` naming ``what`` for anything that the libraries raise inside."""
        try:
            yield
        except self._errors as error:
            raise DeviceFault(f"{what}: {_text(error)}") from error

    @contextmanager
    def claiming(self, what: str, pin: int) -> Iterator[None]:
        """``HalUnavailable`` when a line cannot be had, as when the kernel or another process has it."""
        try:
            yield
        except self._errors as error:
            raise HalUnavailable(f"cannot claim GPIO {pin} for the {what}: {_text(error)}; {_REMEDY}") from error

    def close(self) -> None:
        """Give every line back as an input. Close the ports first."""
        with self.translated("GPIO controller"):
            self.factory.close()


def open_gpio(board: Board, revision: int, devices: Path = Path("/dev")) -> Gpio:
    """The controller that drives the header of ``board``. ``HalUnavailable`` names the library, the controller or the right that is
    missing."""
    lgpio, factory_class, gpiozero_error = _import_libraries()
    number = _find_chip(lgpio, board.chip_label, devices)

    class Factory(factory_class):  # type: ignore[misc, valid-type]  # gpiozero carries no types
        def _get_revision(self) -> int:
            return revision

    errors = (lgpio.error, gpiozero_error)
    try:
        return Gpio(Factory(chip=number), errors, f"gpiochip{number}")
    except errors as error:
        raise HalUnavailable(f"cannot open GPIO controller {board.chip_label!r}: {_text(error)}; {_REMEDY}") from error


def _import_libraries() -> tuple[Any, Any, type[Exception]]:
    """lgpio, gpiozero's factory on it, and the root of gpiozero's errors."""
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with tempfile.TemporaryDirectory(prefix="oathcam-lgpio-") as scratch:
            os.chdir(scratch)
            try:
                import lgpio
                from gpiozero.exc import GPIOZeroError
                from gpiozero.pins.lgpio import LGPIOFactory
            finally:
                os.fchdir(before)
    except ImportError as error:
        raise HalUnavailable(f"GPIO needs the library {error.name!r}; install gpiozero and lgpio") from error
    except OSError as error:  # the named pipe
        raise HalUnavailable(f"lgpio cannot make its pipe below {tempfile.gettempdir()!r}: {error}; let the service write there") from error
    finally:
        os.close(before)
    return lgpio, LGPIOFactory, GPIOZeroError


def _find_chip(lgpio: Any, label: str, devices: Path) -> int:
    """Number of the controller with this label: which number it has depends on the kernel and on what else is there."""
    found, refused = [], []
    for path in sorted(devices.glob("gpiochip*"), key=lambda each: (len(each.name), each.name)):
        number = int(path.name.removeprefix("gpiochip"))
        try:
            handle = lgpio.gpiochip_open(number)
        except lgpio.error as error:
            refused.append(f"{path.name}: {_text(error)}")
            continue
        name = lgpio.gpio_get_chip_info(handle)[3]
        lgpio.gpiochip_close(handle)
        if name == label:
            return number
        found.append(name)
    seen = "; ".join([", ".join(map(repr, found)) or "none can be opened", *refused])
    raise HalUnavailable(f"no GPIO controller {label!r} (there is: {seen}); {_REMEDY}")


def _text(error: Exception) -> str:
    """lgpio quotes its messages."""
    return str(error).strip("'\"") or type(error).__name__
