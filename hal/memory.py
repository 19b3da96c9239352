"""This process's memory: kept in RAM, and shown to nobody (BWC-POL-11).

Responsible for two wishes to the kernel, and for saying in words what it answered. Refuses to decide whether that matters.

``MCL_ONFAULT``: a page is locked when it is first touched, not when it is mapped. Without it every thread's stack (8 MB of address space,
of which some kB are used) and every arena of glibc's malloc would be made resident at once, on boards with 512 MB. What was touched, the
pre-event buffer among it, is never written to a swap device from then on. The kernel counts mapped bytes against RLIMIT_MEMLOCK, touched
or not, and refuses mappings beyond it: under a finite limit a locked recorder would one day get no memory for a thread or a picture.
Therefore it is not locked under one.
"""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_DUMPABLE = 4
_CAP_IPC_LOCK = 14


def lock_memory() -> str:
    """Keep what this process touches, now and later, in RAM. Empty when the kernel does, else why not and what to do."""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock_anything():
        return f"only {limit} bytes may be locked; set LimitMEMLOCK=infinity in the unit"
    return _call("mlockall", _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def refuse_dumps() -> str:
    """No core dump, whoever collects them, and no debugger of the same user. Empty when the kernel agrees.

    RLIMIT_CORE does not do it: a dump that goes through a pipe to a collector is not bound by it (core(5)).
    """
    return _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def _may_lock_anything() -> bool:
    """CAP_IPC_LOCK: the limit is not asked."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> _CAP_IPC_LOCK & 1)
    return False


def _call(name: str, *arguments: int) -> str:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*(ctypes.c_ulong(one) for one in arguments)) == 0:
        return ""
    return f"{name}: {os.strerror(ctypes.get_errno())}"
