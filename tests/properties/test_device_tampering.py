"""One bit, one cut, one swap anywhere in a device directory: one verdict that is not *authentic* and a finding that says where.

What can change without one is written down in :data:`EXCEPTIONS`, each with its reason, and asserted to be just that. `make test` takes a
sample of a fixed size, spread over files and structure; with ``OATHCAM_EXHAUSTIVE=1`` (`make fuzz`) every bit of every file is flipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from firmware.evidence import pki
from firmware.evidence.findings import Finding, Report, Severity, Verdict
from tests.properties.small_device import CHAIN, CHECKPOINT, FIRST, LOG, SECOND, Files, device, verify
from tests.unit.helpers_evidence import stream
from tests.vectors.build import der

EXHAUSTIVE = bool(os.environ.get("OATHCAM_EXHAUSTIVE"))
FLIPS_A_FILE = 18
CUTS_A_FILE = 8
NAMES = sorted(device())


def findings(report: Report) -> list[Finding]:
    return [*report.findings, *(one for recording in report.recordings for one in recording.findings)]


def grave(report: Report) -> list[Finding]:
    return [one for one in findings(report) if one.severity in (Severity.BAD, Severity.MISSING)]


def points_at(one: Finding, name: str) -> bool:
    """Whether a finding leads to the file: by its name, or by that of the document that a signature belongs to."""
    room, _, rest = name.partition("/")
    if name == LOG:
        return one.layer == "ledger"
    if name == CHECKPOINT:
        return one.file == CHECKPOINT
    if name == CHAIN:  # with another camera's certificate the ledger is not that camera's
        return one.file in (CHAIN, LOG)
    if rest.startswith("receipts/"):
        return one.layer == "receipt"
    recording, file = rest.split("/")
    return room == "vault" and one.recording == recording and one.file.removesuffix(".p7s") == file.removesuffix(".p7s")


# --- what carries no meaning, and why


def _last_batch() -> int:
    """Where the last batch begins: behind the last signed line but one."""
    log = device()[LOG]
    line = log.rindex(b"\n= ", 0, log.rindex(b"\n= "))
    return log.index(b"\n", line + 1) + 1


def _is_unsigned_end(name: str, changed: Files, report: Report) -> bool:
    log, start = changed.get(LOG, b""), _last_batch()
    if name != LOG or log[:start] != device()[LOG][:start]:
        return False
    told = any(one.severity is Severity.NOTE and "nobody's word" in one.text for one in report.findings)
    return report.recordings == verify(device()).recordings and told == (len(log) > start)


def _is_armour(name: str, changed: Files, report: Report) -> bool:
    same = pki.load_certificates_pem(changed[CHAIN]) == pki.load_certificates_pem(device()[CHAIN]) if name == CHAIN else False
    return same and report == verify(device())


EXCEPTIONS: dict[Callable[[str, Files, Report], bool], str] = {
    _is_unsigned_end: "a last batch without its signature was never promised, or is a ledger cut short: it is not used, and said if "
    "anything is left of it. Nothing in the file tells more; who saw the longer ledger does (the dock's high-water mark). It says "
    "nothing of a recording",
    _is_armour: "in ledger/device.pem line breaks and what stands between the certificates are PEM's armour; the certificates read are "
    "the same",
}


def judge(changed: Files, *names: str, with_key: bool = True) -> None:
    report = verify(changed, with_key=with_key)
    assert isinstance(report.verdict, Verdict)
    if report.verdict is Verdict.AUTHENTIC:
        full = report if with_key else verify(changed)
        assert [reason for excepted, reason in EXCEPTIONS.items() if excepted(names[0], changed, full)], names
        return
    named = [name for name in names if any(points_at(one, name) for one in grave(report))]
    assert named, (names, [one.sentence() for one in grave(report)])


# --- the changes


def flipped(name: str, at: int, bit: int) -> Files:
    data = bytearray(device()[name])
    data[at] ^= 1 << bit
    return {**device(), name: bytes(data)}


def places(name: str, count: int) -> list[int]:
    """Half where structure is, half anywhere; the first and the last byte always."""
    data, draw = device()[name], stream(f"places {name}")
    if name.endswith((".p7m", ".p7s")):
        structure = list(der.boundaries(data, 400))
    else:
        structure = [at for at, byte in enumerate(data) if byte in b'{}[]":,=\n -']
    chosen = [structure[int.from_bytes(draw(4), "big") % len(structure)] for _ in range(count // 2 - 1)]
    anywhere = [int.from_bytes(draw(4), "big") % len(data) for _ in range(count - len(chosen) - 2)]
    return sorted({0, len(data) - 1, *chosen, *anywhere})


def sample(name: str) -> Iterator[tuple[int, int]]:
    if EXHAUSTIVE:
        yield from ((at, bit) for at in range(len(device()[name])) for bit in range(8))
        return
    draw = stream(f"bits {name}")
    yield from ((at, draw(1)[0] % 8) for at in places(name, FLIPS_A_FILE))


def test_the_untouched_device_is_authentic() -> None:
    for with_key in (True, False):
        report = verify(device(), with_key=with_key)
        assert (report.verdict, grave(report)) == (Verdict.AUTHENTIC, [])
    assert sum(map(len, device().values())) < 40_000


@pytest.mark.timeout(20_000 if EXHAUSTIVE else 300)
@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_named(name: str) -> None:
    """BWC-POL-24: by the file that it lies in, and never called authentic."""
    for count, (at, bit) in enumerate(sample(name)):
        judge(flipped(name, at, bit), name, with_key=EXHAUSTIVE or bool(count % 2))


@pytest.mark.timeout(20_000 if EXHAUSTIVE else 300)
@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_named(name: str) -> None:
    """BWC-POL-24: truncate."""
    whole = device()[name]
    for length in range(len(whole)) if EXHAUSTIVE else places(name, CUTS_A_FILE):
        judge({**device(), name: whole[:length]}, name)


def test_a_ledger_cut_anywhere_is_named() -> None:
    """BWC-POL-29: at every signed line, and before and behind it."""
    log = device()[LOG]
    ends = [at + 1 for at, byte in enumerate(log) if byte == 0x0A]
    for length in sorted({end + more for end in ends for more in (-1, 0, 1)} - {len(log) + 1, len(log)}):
        judge({**device(), LOG: log[:length]}, LOG)


@pytest.mark.parametrize("name", NAMES)
def test_two_files_swapped_are_named(name: str) -> None:
    """BWC-POL-24: reorder; within a recording, between recordings, and with the ledger."""
    for other in NAMES[NAMES.index(name) + 1 :]:
        whole = device()
        judge({**whole, name: whole[other], other: whole[name]}, name, other)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vault/")])
def test_a_removed_file_is_named(name: str) -> None:
    """BWC-POL-24: drop."""
    judge({other: data for other, data in device().items() if other != name}, name)


def test_two_recordings_swapped_are_named() -> None:
    """Whole directories, with everything that is signed in them."""
    names = {FIRST: SECOND, SECOND: FIRST}
    swapped = {
        "/".join(names.get(part, part) for part in name.split("/")) if name.startswith("vault/") else name: data
        for name, data in device().items()
    }
    report = verify(swapped)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    assert {one.recording for one in grave(report)} >= {FIRST, SECOND}


def test_every_exception_is_needed() -> None:
    """A reason that excuses nothing is a hole for later."""
    chain, log = device()[CHAIN], device()[LOG]
    cases = [
        (_is_unsigned_end, {**device(), LOG: log[:-1]}, LOG),
        (_is_unsigned_end, {**device(), LOG: log[: _last_batch()]}, LOG),
        (_is_armour, {**device(), CHAIN: chain[:-1]}, CHAIN),
    ]
    for excepted, changed, name in cases:
        report = verify(changed)
        assert report.verdict is Verdict.AUTHENTIC
        assert [one for one in EXCEPTIONS if one(name, changed, report)] == [excepted]
    assert {excepted for excepted, _, _ in cases} == set(EXCEPTIONS)
