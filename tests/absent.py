"""What a test does without a program, a library or a device of this machine: it is skipped, with a sentence that says what was not tried.

In CI (the variable CI is set) every back-end is to be there, so that a green run is one in which none was skipped.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def absent(sentence: str) -> NoReturn:
    """A back-end is not there."""
    if os.environ.get("CI"):
        pytest.fail(f"{sentence}; CI runs every test")
    pytest.skip(sentence)


def need_program(name: str) -> str:
    """The path of a program that a back-end is made of."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")
    if path is None:
        absent(f"{name} is not installed")
    return path


def need_library(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        absent(f"the library {name} is not installed")


def need(program: str) -> str:
    """The path of a program that looks at what we made, a player or a browser: no back-end, so CI may be without it, too."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed: what it would check was not checked")
    return path
