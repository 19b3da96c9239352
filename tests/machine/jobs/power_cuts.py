"""Campaigns of power cuts (``tests/disk``) on a file system that this kernel has and the host's may not: as ``orders.json`` lists them."""

from __future__ import annotations

import json

import guest

from tests.disk.mounts import run_apart


def run() -> None:
    orders = json.loads((guest.JOB / "orders.json").read_text())
    guest.report(outcomes=[json.loads(run_apart("tests.disk.campaign", guest.JOB / "rig", *order)) for order in orders])
