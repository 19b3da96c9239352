"""The shared library of a large extension module, loaded while the other threads run.

Responsible for one call of dlopen(3) without the interpreter's lock. ``import`` of an extension holds that lock until its library and
everything that it needs are mapped and relocated, and for as long no other thread of the process runs: 0.03 to 0.2 s for OpenCV on a
PC, seconds where memory is slow. Once the library is there, the import takes milliseconds. Refuses to import anything.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def load_beside(module: str) -> bool:
    """Load what the import of the top-level ``module`` is about to load; any thread may call it, before that import.

    ``False`` when nothing was loaded: it is imported already, is not installed, has no library of its own name, or the loader refuses
    it. The import then says why, or takes the time itself.
    """
    spec = None if module in sys.modules else find_spec(module)
    if spec is None or spec.origin is None:
        return False
    library = next(iter(sorted(Path(spec.origin).parent.glob(f"{module}*.so"))), None)
    if library is None:
        return False
    loader = ctypes.CDLL(None)  # a foreign call gives up the lock; ctypes' own loading of a library does not
    loader.dlopen.restype = ctypes.c_void_p
    loader.dlopen.argtypes = (ctypes.c_char_p, ctypes.c_int)
    return loader.dlopen(os.fsencode(library), sys.getdlopenflags()) is not None
