"""A device directory as small as one can be that still has everything: two recordings, a ledger, a receipt, a published checkpoint.

Made by the product's own writers with fixed keys, so the same bytes in every run; 40 kB, and verified in a few milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from firmware.custody import note
from firmware.custody.checkpoint import Checkpoint, checkpoint_line, digest_to_sign
from firmware.custody.entries import Entry
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile
from firmware.errors import UnavailableError
from firmware.evidence import cms, pki
from firmware.evidence import manifest as m
from firmware.evidence.findings import Report
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.media.fmp4 import Fragmenter, VideoTrack, init_segment
from firmware.media.gop import Gop
from firmware.media.onvif_sei import Vendor
from firmware.media.signer import StreamSigner
from firmware.timebase import Timestamp, Trust
from tests.unit import helpers_evidence as house
from tests.unit.helpers_evidence import NOW_NS, ORIGIN, SERIAL, agency, signer, stream
from tests.unit.helpers_media import SPS_NAL, assemble, fake_units
from tools import pki as issuing

FIRST, SECOND = "R-1", "R-2"
LOG, CHAIN, CHECKPOINT = "ledger/log", "ledger/device.pem", "ledger/checkpoint"
Files = Mapping[str, bytes]


class MemorySource:
    """Evidence in a dict of '/'-separated names."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def names(self, directory: str) -> Sequence[str]:
        prefix = directory + "/"
        return sorted({name.removeprefix(prefix).split("/")[0] for name in self._files if name.startswith(prefix)})

    def read(self, name: str) -> bytes:
        try:
            return self._files[name]
        except KeyError:
            raise UnavailableError(f"cannot read {name}") from None


def verify(files: Files, *, with_key: bool = True) -> Report:
    who = agency().agency
    return verify_device(MemorySource(files), agency().roots, OpeningKey(who.key, who.certificate) if with_key else None)


class _Ledger:
    def __init__(self) -> None:
        self.log, self.tree, self.n = b"", CompactTree(), 0

    def append(self, *leaves: tuple[str, dict[str, Any]]) -> None:
        """One batch with its signed line."""
        for kind, fields in leaves:
            at = Timestamp((10 + self.n) * 10**9, NOW_NS + self.n * 10**9, Trust.RTC)
            leaf = Entry(self.n, kind, at, 1, fields).to_bytes()
            self.tree.append(leaf_hash(leaf))
            self.log += leaf + b"\n"
            self.n += 1
        claim = self.checkpoint()
        self.log += checkpoint_line(claim, self.sign(claim.text()))

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.tree.size, self.tree.root())

    def sign(self, text: bytes) -> bytes:
        return signer(agency().camera.key)(digest_to_sign(text))


@cache
def device(films: house.Holder | None = None) -> Files:
    """Names and bytes. ``films``: who signs the streams, when it is not this camera."""
    ledger, files = _Ledger(), {}
    boot = {"counter": 1, "firmware": "0.1.0", "backend": "sim", "key_protection": "simulated", "previous": "first", "down_us": None}
    digests = {name: house.digest(name) for name in ("firmware_sha256", "key_sha256", "policy_sha256")}
    ledger.append(("boot", {**boot, **digests}))
    files |= _record(FIRST, 2, ledger, films or agency().camera)
    files |= _record(SECOND, 1, ledger, films or agency().camera)
    receipt = _receipt(FIRST, files, ledger)
    files |= receipt
    text = ledger.checkpoint().text()
    files[CHECKPOINT] = note.signed_note(text, ORIGIN, pki.spki_der(agency().camera.certificate), ledger.sign(text))
    ledger.append(("shutdown", {"reason": "end of shift"}))
    files[LOG] = ledger.log
    files[CHAIN] = _chain_pem()
    return files


def _chain_pem(whose: house.Holder | None = None) -> bytes:
    return issuing.certificate_pem((whose or agency().camera).certificate, agency().device_ca.certificate)


def _record(recording: str, gops: int, ledger: _Ledger, films: house.Holder) -> dict[str, bytes]:
    folder, begin_index = f"vault/{recording}", ledger.n
    begin = replace(house.begin(), recording=recording, ledger_index=begin_index, audio=None, pre_event_ms=0)
    files = {f"{folder}/begin.json": begin.to_bytes(), f"{folder}/begin.json.p7s": agency().camera.sign(begin.to_bytes())}
    begin_sha256 = hashlib.sha256(begin.to_bytes()).hexdigest()
    ledger.append(("begin", {"recording": recording, "begin_sha256": begin_sha256, "cause": "button"}))
    init, fragments = _media(gops, films)
    init_record = _seal(files, f"{folder}/init.mp4.p7m", init)
    ledger.append(("init", {"recording": recording, **_leaf_fields(init_record)}))
    records = []
    for seq, (gop, plain) in enumerate(fragments):
        record = _seal(files, f"{folder}/{m.fragment_name(seq)}", plain)
        counts = {"duration_us": 1_000_000, "pictures": len(gop.units), "audio_frames": 0}
        start = gop.start.boottime_ns // 1000
        records.append(m.FragmentRecord(seq, start, gop.start.utc, **counts, **vars_of(record)))
        told = {"recording": recording, "seq": seq, "start_us": start, "start_utc": gop.start.utc, **counts}
        ledger.append(("fragment", {**told, **_leaf_fields(record)}))
    notes = _seal(files, f"{folder}/notes.json.p7m", b'{"officer":"4711"}')
    manifest = _manifest(begin, begin_sha256, init_record, tuple(records), notes, m.LedgerSpan(begin_index, ledger.n - 1)).to_bytes()
    files |= {f"{folder}/manifest.json": manifest, f"{folder}/manifest.json.p7s": agency().camera.sign(manifest)}
    ledger.append(("end", {"recording": recording, "manifest_sha256": hashlib.sha256(manifest).hexdigest(), "cause": "button"}))
    return files


def _media(gops: int, films: house.Holder) -> tuple[bytes, list[tuple[Gop, bytes]]]:
    sign = StreamSigner(_chain_pem(films), signer(films.key), 72, Vendor("0.1.0", SERIAL, "oathcam"))
    plain = assemble(fake_units(2 * gops, 2, size=40))
    signed = [*map(sign.sign_gop, plain[:-1]), sign.finish(plain[-1])]
    assert SPS_NAL in signed[0].units[0].nals
    fragmenter = Fragmenter(signed[0].start, None)
    made = [(gop, fragmenter.fragment(seq, gop)) for seq, gop in enumerate(signed)]
    return init_segment(VideoTrack.from_gop(signed[0]), None), made


def _seal(files: dict[str, bytes], name: str, plain: bytes) -> m.SealedObject:
    sealed = cms.seal(plain, agency().recipients[:1], stream(name))
    files[name] = sealed
    return m.SealedObject(hashlib.sha256(plain).hexdigest(), len(plain), hashlib.sha256(sealed).hexdigest(), len(sealed))


def vars_of(record: m.SealedObject) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("plain_sha256", "plain_bytes", "sealed_sha256", "sealed_bytes")}


def _leaf_fields(record: m.SealedObject) -> dict[str, Any]:
    return {name.removesuffix("_sha256"): value for name, value in vars_of(record).items()}


def _manifest(
    begin: m.Begin,
    begin_sha256: str,
    init: m.SealedObject,
    fragments: tuple[m.FragmentRecord, ...],
    notes: m.SealedObject,
    span: m.LedgerSpan,
) -> m.Manifest:
    return m.Manifest(
        recording=begin.recording,
        device=begin.device,
        key_protection=begin.key_protection,
        policy=begin.policy,
        begin=begin.moment(),
        begin_sha256=begin_sha256,
        end=m.End(fragments[-1].boottime_us + fragments[-1].duration_us, house.UTC, "rtc", "button"),
        pre_event=m.PreEvent(0, 0, 0, 0, False, None),
        video=begin.video,
        audio=None,
        init=init,
        fragments=fragments,
        marks=(),
        gaps=(),
        notes=m.Notes(notes.sealed_sha256, notes.sealed_bytes),
        recipients=begin.recipients,
        ledger=span,
    )


def _receipt(recording: str, files: Files, ledger: _Ledger) -> dict[str, bytes]:
    folder = f"vault/{recording}/"
    held = sorted((name.removeprefix(folder), data) for name, data in files.items() if name.startswith(folder))
    named = tuple(ReceiptFile(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in held)
    manifest = hashlib.sha256(files[f"{folder}manifest.json"]).hexdigest()
    point = LedgerPoint(ledger.tree.size, ledger.tree.root().hex())
    data = Receipt(recording, SERIAL, manifest, named, point, "store-1", 1, house.UTC).to_bytes()
    return {f"ledger/receipts/{recording}.json": data, f"ledger/receipts/{recording}.json.p7s": agency().store.sign(data)}
