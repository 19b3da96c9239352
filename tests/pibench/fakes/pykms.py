"""A FAKE of kms++'s bindings, for tests: picamera2 imports the names and, without a display, uses none of them."""

from __future__ import annotations


class _Names:
    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _Names()
PlaneType = _Names()


class Card:
    def __init__(self, *_arguments: object) -> None:
        raise RuntimeError("there is no display here")
