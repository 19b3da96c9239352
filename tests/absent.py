"""What a test does without a program, a library or a device of this machine: it is skipped, with a sentence that says what was not tried.

In CI (the variable CI is set) every back-end, and every program that checks our work, is to be there: in a green run none was skipped.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def absent(sentence: str) -> NoReturn:
    """A back-end, or a program that would check what we made, is not there."""
    if os.environ.get("CI"):
        pytest.fail(f"{sentence}; CI runs every test")
    pytest.skip(sentence)


def need_program(name: str) -> str:
    """The path of a program that a back-end is made of, or that looks at what we made: a player, a browser."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")
    if path is None:
        absent(f"{name} is not installed")
    return path


def need_library(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        absent(f"the library {name} is not installed")
