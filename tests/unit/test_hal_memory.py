"""Memory that is kept in RAM and shown to nobody: real processes, asked by the kernel's own accounts."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

UNLIMITED = resource.RLIM_INFINITY
LIMITED = 8 << 20
_JOB = """
import ctypes, json, os, resource, sys, threading
limit, keep = int(sys.argv[1]), sys.argv[2] == "keep"
libc = ctypes.CDLL(None, use_errno=True)
if not keep and len(sys.argv) == 3:
    libc.prctl(24, 14, 0, 0, 0)  # PR_CAPBSET_DROP of CAP_IPC_LOCK: the next program does not have it
    os.execv(sys.executable, [sys.executable, "-c", os.environ["JOB"], sys.argv[1], sys.argv[2], "again"])
resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
from hal.memory import lock_memory, refuse_dumps
before = libc.prctl(3, 0, 0, 0, 0)
said = [lock_memory(), refuse_dumps()]
buffer = bytes(range(256)) * (40 << 12)  # 40 MB: a mapping of its own
threads = [threading.Thread(target=threading.Event().wait, args=(0.5,)) for _ in range(8)]
[one.start() for one in threads]
rows = [line.split() for line in open("/proc/self/smaps")]
sums = {name: sum(int(row[1]) for row in rows if row[0] == name + ":") for name in ("Rss", "Locked", "Private_Dirty", "Swap")}
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"said": said, "dumpable": [before, libc.prctl(3, 0, 0, 0, 0)], "lock_kb": int(status["VmLck"].split()[0]), **sums}))
"""


def job(limit: int, capability: str) -> dict[str, Any]:
    command = [sys.executable, "-c", _JOB, str(limit), capability]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "JOB": _JOB})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def may_be_unlimited() -> bool:
    """The hard limit is none, or CAP_SYS_RESOURCE raises it."""
    rights = next(int(line.split()[1], 16) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == UNLIMITED or bool(rights >> 24 & 1)


@pytest.mark.parametrize(("limit", "capability"), [(UNLIMITED, "drop"), (LIMITED, "keep")])
def test_what_is_touched_is_locked_and_what_is_not_costs_nothing(limit: int, capability: str) -> None:
    """BWC-POL-11: as under the unit (no limit, no right), and as root (a limit that is not asked). 40 MB of buffer are locked; eight
    threads' stacks of 8 MB each are not made resident for it."""
    if (capability == "keep" and os.geteuid() != 0) or (limit == UNLIMITED and not may_be_unlimited()):
        pytest.skip("this user may neither lock memory nor be given the right to")
    found = job(limit, capability)
    assert found["said"] == ["", ""]
    assert found["lock_kb"] > 40 << 10
    assert found["Locked"] >= 40 << 10
    assert found["Locked"] >= 0.95 * found["Private_Dirty"]
    assert found["Rss"] < (40 + 45) << 10
    assert found["Swap"] == 0


def test_under_a_limit_nothing_is_locked_and_it_is_said() -> None:
    """A locked process under a limit would get no memory for a picture one day: recording goes on unlocked."""
    found = job(LIMITED, "drop" if os.geteuid() == 0 else "keep")
    reason = found["said"][0]
    assert (found["lock_kb"], found["Locked"]) == (0, 0)
    assert str(LIMITED) in reason
    assert "LimitMEMLOCK=infinity" in reason


def test_a_process_that_shows_itself_to_nobody() -> None:
    """core(5): RLIMIT_CORE does not bind a dump that is piped to a collector; what is not dumpable has none."""
    assert job(LIMITED, "keep")["dumpable"] == [1, 0]
