"""The choice of a back-end: the only place that names them all.

Responsible for importing the chosen one, inside the function, so that no other is touched. Refuses to fall back: a
recorder that silently ran on another camera than it was told would swear to the wrong thing.
"""

from __future__ import annotations

import importlib

from hal.errors import HalUnavailable
from hal.interfaces import Hal, HalConfig

BACKENDS = {"sim": "hal.sim.boot", "pi": "hal.pi.boot", "pc": "hal.pc.boot"}
"""Each module has ``open_hal(config) -> Hal``."""


def open_hal(name: str, config: HalConfig) -> Hal:
    """Open every device of back-end ``name``. ``HalUnavailable`` names what is missing; other ``HalError``: bad settings."""
    module_name = BACKENDS.get(name)
    if module_name is None:
        raise HalUnavailable(f"no back-end {name!r}; choose one of {', '.join(sorted(BACKENDS))}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise HalUnavailable(f"back-end {name!r} is not part of this build; install a build that has it, or choose 'sim'") from error
        raise HalUnavailable(f"back-end {name!r} needs the library {error.name!r}; install it with its packages") from error
    opened = module.open_hal(config)
    assert isinstance(opened, Hal)
    return opened
