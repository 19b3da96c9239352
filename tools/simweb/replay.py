"""What was done on the page, as a scenario file: replayed at once, headless, so that the file says what must be found.

The replay is a process of its own, so that it takes no time from the camera in the hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from firmware.errors import OathcamError
from tools.scenario import Scenario, parse_scenario
from tools.scenario_expect import expectations
from tools.scenario_run import Found
from tools.scenario_write import write_scenario

_TIMEOUT_S = 600


def replayed(scenario: Scenario) -> tuple[str, dict[str, Any]]:
    """(the file's text, what the replay found). ``UsageError`` for a name that is none; ``OathcamError`` when it cannot be run."""
    text = write_scenario(scenario)
    parse_scenario(text, scenario.name)
    with tempfile.TemporaryDirectory(prefix="oathcam-replay-") as directory:
        path = Path(directory) / f"{scenario.name}.toml"
        path.write_text(text, encoding="utf-8")
        command = [sys.executable, "-P", "-m", "tools.cli", "sim", str(path), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode not in (0, 1):
        raise OathcamError(f"the replay failed: {done.stderr.strip()[-300:]}")
    found = json.loads(done.stdout)["found"]
    names = Found.__slots__
    expect = expectations(Found(**{name: found[name] for name in names}))
    return write_scenario(replace(scenario, expect=expect)), found
