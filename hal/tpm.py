"""One TPM 2.0, asked one command at a time (TSS 2.0 ESAPI through tpm2-pytss).

Responsible for opening and closing, for waiting when the TPM is busy, for starting it up after a reset, and for turning its
response codes into the HAL's errors. Refuses to know which key and which counter.

Invariants: a context lives for one use, so a reset between two uses finds nothing of ours to lose, and no other program is kept
waiting; whatever a use loads it flushes.

Sources: TPM 2.0 Library, Part 2 §6.6.3 (response codes), Part 3 §5.2 (what a caller does about each).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hal.errors import DeviceFault, HalError, HalUnavailable

T = TypeVar("T")

_PAUSES_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)
"""Between the tries of a command that a busy TPM put off: 2.5 s in all, longer than the self-test of a discrete TPM."""
_RC_INITIALIZE = 0x100
"""The TPM was reset and TPM2_Startup() has not been sent since."""
_RC_NV_RATE = 0x920
_BUSY = {0x908, 0x90A, 0x922, _RC_NV_RATE}
"""TPM_RC_YIELDED, TESTING, RETRY, NV_RATE: the command was not carried out and may be sent again."""
_BROKEN = {_RC_INITIALIZE, 0x101, 0x12D, 0x130, 0x902, 0x903, 0x904, 0x905, 0x906, 0x909, 0x921, 0x923}
"""INITIALIZE, FAILURE, UPGRADE, REBOOT, *_MEMORY, *_HANDLES, CANCELED, LOCKOUT, NV_UNAVAILABLE: nothing that a caller did."""
_TPM_LAYERS = (0, 12)
"""Layers of a TSS response code at which the TPM itself answers: directly, or through a resource manager."""
PACKAGES = "install tpm2-pytss 2.3 or newer, such as requirements-source.lock names"


class TpmContext:
    """An open ESAPI context. ``esapi`` is for values; commands go through :meth:`ask`."""

    def __init__(self, esapi: Any, name: str, pause: Callable[[float], None]) -> None:
        self.esapi = esapi
        self._name = name
        self._pause = pause
        self._started = False

    def ask(self, command: Callable[..., T], *arguments: Any) -> T:
        """Send one command; again, with a bound, while the TPM is busy, and once more after a start-up that it had missed."""
        from tpm2_pytss import TSS2_Exception

        pauses = iter(_PAUSES_S)
        while True:
            try:
                return command(*arguments)
            except TSS2_Exception as error:
                code = _tpm_code(error.rc)
                pause = next(pauses, None)
                if code == _RC_INITIALIZE and not self._started:
                    self._start()
                elif code in _BUSY and pause is not None:
                    self._pause(pause)
                else:
                    raise translated(error, self._name) from error

    def _start(self) -> None:
        """TPM2_Startup(CLEAR): firmware and kernel do it once a boot, and a TPM that lost power since then waits for it."""
        from tpm2_pytss import TPM2_SU, TSS2_Exception

        self._started = True
        try:
            self.esapi.startup(TPM2_SU.CLEAR)
        except TSS2_Exception as error:
            raise translated(error, self._name) from error

    def exists(self, handle: int) -> bool:
        """Whether there is an object or an index at ``handle`` (TPM2_GetCapability, Part 3 §30.2)."""
        from tpm2_pytss import TPM2_CAP

        # The handles are a view into the answer, which has to outlive them.
        _, answer = self.ask(self.esapi.get_capability, TPM2_CAP.HANDLES, handle, 1)
        handles = answer.data.handles
        return len(handles) > 0 and int(handles[0]) == handle

    def manufacturer(self) -> str:
        """Four letters, as the vendor registered them with the TCG; "IBM" is what swtpm says of itself."""
        from tpm2_pytss import TPM2_CAP, TPM2_PT

        _, answer = self.ask(self.esapi.get_capability, TPM2_CAP.TPM_PROPERTIES, TPM2_PT.MANUFACTURER, 1)
        value = int(answer.data.tpmProperties[0].value)
        return value.to_bytes(4, "big").decode("ascii", errors="replace").strip("\0 ")


class Tpm:
    """The TPM at ``tcti``, a TSS "name:configuration" such as ``device:/dev/tpmrm0``.

    Opened once when made: ``HalUnavailable`` when library or TPM is absent. Afterwards a TPM that is gone is a ``DeviceFault``.
    """

    def __init__(self, tcti: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._tcti = tcti
        self._pause = pause
        self.name = f"TPM {tcti!r}"
        try:
            with self.opened() as context:
                self.manufacturer = context.manufacturer()
        except DeviceFault as error:
            remedy = "fit the TPM, enable it (dtoverlay=tpm-slb9670) and give the service the group tss, or name it with tpm_tcti"
            raise HalUnavailable(f"no TPM: {error}; {remedy}") from error

    @contextmanager
    def opened(self) -> Iterator[TpmContext]:
        """A context for one use."""
        try:
            from tpm2_pytss import ESAPI, TSS2_Exception
        except ImportError as error:
            raise HalUnavailable(f"a TPM key store needs the library tpm2-pytss ({error}); {PACKAGES}") from error
        try:
            esapi = ESAPI(self._tcti)
        except TSS2_Exception as error:
            raise translated(error, self.name) from error
        try:
            yield TpmContext(esapi, self.name, self._pause)
        finally:
            esapi.close()


def _tpm_code(code: int) -> int | None:
    """The TPM's own response code, or ``None`` when a layer below or above it speaks."""
    return code & 0xFFFF if code >> 16 & 0xFF in _TPM_LAYERS else None


def translated(error: Any, name: str) -> HalError:
    """Refused is a ``HalError``; everything that no other request would have prevented is a ``DeviceFault``."""
    code = _tpm_code(error.rc)
    text = f"{name}: {error} (0x{error.rc:x})"
    if code in _BUSY:
        return DeviceFault(f"{text}; still busy after {len(_PAUSES_S)} tries")
    return DeviceFault(text) if code is None or code in _BROKEN else HalError(text)
