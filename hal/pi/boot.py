"""The Pi's back-end: the capture process first, everything else while it imports.

Responsible for the start-up order: on a small board numpy, Pillow and libcamera take seconds to import, and so do the libraries of this
process; the way to the first buffered picture waits for neither (camera first, house rule of the boot). So nothing heavy is imported
before the process is spawned, here or in ``firmware.__main__``.
"""

from __future__ import annotations

from hal.interfaces import Hal, HalConfig
from hal.pi.spawn import spawn_capture


def open_hal(config: HalConfig) -> Hal:
    """Every port. ``HalUnavailable`` names what is missing."""
    spawned = spawn_capture() if config.get("capture", "process") == "process" else None
    try:
        from hal.pi.ports import open_ports

        hal = open_ports(config, spawned)
        spawned = None  # the camera has it now
        return hal
    finally:
        if spawned is not None:
            spawned.end()
