"""Damaged inputs out of genuine ones, the same in every run: what `make test` feeds the fuzz targets with, without instrumentation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

_TOKENS = (b"\0", b"\xff", b"\x80", b"\0\0\1", b"\0\0\3", b"\n", b"\r\n", b" ", b'"', b"{}", b"[", b"]", b",", b":", b"-1", b"1e9", b"null",
           b"\xed\xa0\x80", b"9" * 5000, b"[" * 2000, b"\x30\x80", b"\xff\xff\xff\xff", b"\0\0\0\0")  # fmt: skip


def inputs(seeds: Sequence[bytes], runs: int, seed: int = 0) -> Iterator[bytes]:
    """The seeds themselves, then ``runs`` inputs: mostly a seed with one to five changes, sometimes noise."""
    yield from seeds
    rng = random.Random(seed)
    for _ in range(runs):
        data = bytearray(rng.choice(seeds)) if rng.random() < 0.95 else bytearray(rng.randbytes(rng.randrange(64)))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            rng.choice(_CHANGES)(rng, data, seeds)
        yield bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    return rng.randrange(len(data) + 1)


def _flip(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 32, len(data)))]


def _insert(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = rng.choice(_TOKENS)


def _overwrite(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at, token = _place(rng, data), rng.choice(_TOKENS)
    data[at : at + len(token)] = token


def _repeat(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.randrange(1, 64)]


def _splice(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other, at = rng.choice(seeds), _place(rng, data)
    begin = rng.randrange(len(other) + 1)
    data[at : at + rng.randrange(64)] = other[begin : begin + rng.randrange(64)]


_CHANGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip,
    _set,
    _cut,
    _insert,
    _overwrite,
    _repeat,
    _splice,
)
