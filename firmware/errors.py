"""The error tree. FormatError and IntegrityError never mix: the first means that bytes do not parse, the second that
they parse and are not what was written."""

from __future__ import annotations


class OathcamError(Exception):
    """Root of the errors that a user may meet; ``remedy`` is one imperative sentence, or empty."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class FormatError(OathcamError):
    """Bytes do not parse. ``layer`` names the format, ``offset`` the byte (-1: unknown)."""

    def __init__(self, layer: str, message: str, *, offset: int = -1, remedy: str = "") -> None:
        where = f"{layer}: " if offset < 0 else f"{layer}: at byte {offset}: "
        super().__init__(where + message, remedy=remedy)
        self.layer = layer
        self.offset = offset


class IntegrityError(OathcamError):
    """Bytes parse and are not what was written, or are not signed by whom they should be. ``layer`` as above."""

    def __init__(self, layer: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{layer}: {message}", remedy=remedy)
        self.layer = layer


class UnavailableError(OathcamError):
    """Something needed is not there (a key, a certificate, a file, a dock): nothing can be said or done."""


class UsageError(OathcamError):
    """What the user gave cannot be used: an option, a source, a configuration, a policy."""


class RefusedError(OathcamError):
    """The other side, or a rule, refuses: a receipt that does not fit, a dock with the wrong certificate."""


def escaped(text: str) -> str:
    """Text from outside, fit for a terminal, a page and UTF-8: what is not printable stands as its escape (``\\x1b``, ``\\udcff``)."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
