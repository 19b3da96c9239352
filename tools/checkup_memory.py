"""The check-up's memory row: could a picture that nobody activated be written to a swap device (BWC-POL-11)?

This command is not the service: it looks at the machine's swap and at the unit, which lets the recorder lock its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.checkup import Row, amber, green
from tools.checkup_trust import UNIT, UNIT_DIRECTORIES

_REMEDY = f"Remove the swap (`swapoff`, and what sets it up), and set LimitMEMLOCK=infinity in {UNIT}."


def check_memory(directories: Sequence[Path] = UNIT_DIRECTORIES, swaps: Path = Path("/proc/swaps")) -> Row:
    """Swap in zram is memory. Swap on a device is no danger to a recorder whose unit lets it lock what it touches."""
    devices = [line.split()[0] for line in swaps.read_text(encoding="utf-8", errors="replace").splitlines()[1:] if line.split()]
    found = [name for name in devices if not name.startswith("/dev/zram")]
    unit = next((path for path in (directory / UNIT for directory in directories) if path.is_file()), None)
    locks = unit is not None and "LimitMEMLOCK=infinity" in unit.read_text(encoding="utf-8", errors="replace").splitlines()
    locked = f"{unit} lets the recorder lock its memory" if locks else "no unit lets the recorder lock its memory"
    if not found:
        return green("memory", f"no swap on a device; {locked}")
    swap = f"swap on {', '.join(found)}; {locked}"
    return green("memory", swap) if locks else amber("memory", swap, _REMEDY)
