"""The recorder under its own unit in a machine whose first process is systemd, on the kernel's camera and lines. Runs inside, as root."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import guest
import nspawn_inside as inside

PATIENCE_S = 90
UNIT = "oathcamd.service"
SHIM = Path("/usr/local/lib/machine-recorder")
GROUPS = {"gpiochip*": "gpio", "video*": "video"}
"""Who may open a device node, as the udev rules of a camera's system have it."""


def set_up() -> guest.Wiring:
    inside.STATE.mkdir()
    guest.sh("mount", "/dev/ubda", inside.STATE)
    inside.install()
    inside.provision()
    wiring = guest.Wiring()
    for pattern, group in GROUPS.items():
        for node in Path("/dev").glob(pattern):
            shutil.chown(node, "root", group)
            node.chmod(0o660)
    # The back-end that this machine's devices make; all else of the unit is as shipped.
    SHIM.write_text(
        "import runpy, sys\n"
        "sys.path[:0] = ['/checkout', '/checkout/tests/machine']\n"
        "runpy.run_path('/checkout/tests/machine/machine_hal.py', run_name='__main__')\n"
    )
    start = f"/usr/bin/python3 -I {SHIM} run --config {inside.CONFIG}/oathcamd.toml"
    inside.drop_in(UNIT, f"[Service]\nExecStart=\nExecStart={start}\n")
    return wiring


def count(kind: str, least: int) -> None:
    inside.wait(f"{least} leaves of the kind {kind}", lambda: len(inside.leaves(kind)) >= least, PATIENCE_S)


def begin(wiring: guest.Wiring) -> None:
    """Press until it records, as a wearer would: on a busy host a finger of this machine may be too slow for a double press."""
    begins = len(inside.leaves("begin"))
    end = time.monotonic() + PATIENCE_S
    while len(inside.leaves("begin")) == begins:
        if time.monotonic() > end:
            raise guest.Failed(f"does not record; {inside.show(UNIT, 'StatusText')}")
        wiring.record.double_press()
        time.sleep(5)
