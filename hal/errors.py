"""Errors that a back-end may raise; everything else that escapes a port is a defect."""

from __future__ import annotations


class HalError(Exception):
    """Root of the errors of the hardware abstraction layer."""


class HalUnavailable(HalError):
    """A back-end, a library or a device is absent; the message names it and the remedy."""


class DeviceFault(HalError):
    """A device that was there failed (I/O error, stall, lost); the message names the device."""


class VolumeFull(HalError):
    """The volume has no room for the bytes that were to be written; nothing that was synced is lost."""


class PowerCut(BaseException):
    """The simulated battery was pulled: the process is gone at this instruction.

    Raised by the simulator only. A ``BaseException`` so that no handler in the firmware can survive it, as none
    survives the real thing.
    """
