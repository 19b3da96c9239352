"""Verification streams: what is in memory at once does not grow with the recording, but for its signed papers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from helpers_evidence import agency, begin, manifest, signer, stream
from helpers_media import assemble, fake_unit

from firmware.evidence import cms
from firmware.evidence.findings import RecordingReport, Verdict
from firmware.evidence.manifest import FragmentRecord, Manifest, SealedObject, fragment_name
from firmware.evidence.pki import load_certificate
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import OpeningKey
from firmware.evidence.verify_film import Papers, Part, verify_film
from firmware.evidence.verify_recording import RecordingCheck
from firmware.media.fmp4 import Fragmenter, VideoTrack, init_segment
from firmware.media.onvif_sei import Vendor
from firmware.media.signer import StreamSigner
from tools.pki import certificate_pem
from tools.sources import DirectorySource

PICTURES, UNIT_BYTES = 5, 20_000
SHORT = 50
PAPERS_BYTES = 8_000
"""Per fragment: its record in the manifest as text and as objects, its hash for a receipt, its GOP's verdict; a fragment is 100 kB."""


@dataclass(frozen=True)
class Made:
    """A sealed recording below ``root``, and its plain fragments beside it."""

    root: Path
    manifest: Manifest
    signature: bytes

    def plain(self) -> Iterator[Part]:
        yield Part("init", "init", (self.root / "plain/init.mp4").read_bytes())
        for record in self.manifest.fragments:
            yield Part("fragment", f"#{record.seq}", (self.root / f"plain/{record.seq}").read_bytes())


def make(root: Path, fragments: int) -> Made:
    """Sign, pack and seal synthetic GOPs: real signatures over pictures that nobody could decode."""
    house, draw = agency(), stream(f"recording of {fragments}")
    recording = root / "vault" / begin().recording
    recording.mkdir(parents=True)
    (root / "plain").mkdir()
    chain = certificate_pem(*(load_certificate(one) for one in house.camera.chain))
    signing = StreamSigner(chain, signer(house.camera.key), 72, Vendor("0.1.0", "OC-000001", "oathcam"))
    gops = assemble([fake_unit(n, n % PICTURES == 0, UNIT_BYTES) for n in range(fragments * PICTURES)])
    fragmenter = Fragmenter(gops[0].start, None)

    def seal(plain: bytes, name: str, kept: str) -> tuple[str, int, str, int]:
        sealed = cms.seal(plain, house.recipients, draw)
        (recording / name).write_bytes(sealed)
        (root / "plain" / kept).write_bytes(plain)
        return sha256(plain).hex(), len(plain), sha256(sealed).hex(), len(sealed)

    init = SealedObject(*seal(init_segment(VideoTrack.from_gop(gops[0]), None), "init.mp4.p7m", "init.mp4"))
    records = []
    for seq, gop in enumerate(gops):
        signed = signing.finish(gop) if seq == fragments - 1 else signing.sign_gop(gop)
        hashes = seal(fragmenter.fragment(seq, signed), fragment_name(seq), str(seq))
        records.append(FragmentRecord(seq, gop.start.boottime_ns // 1000, gop.start.utc, 166_666, len(gop.units), 0, *hashes))
    whole = replace(manifest(), fragments=tuple(records), init=init, marks=(), gaps=(), mutes=(), notes=None, audio=None)
    signature = b""
    for name, data in (("manifest.json", whole.to_bytes()), ("begin.json", begin().to_bytes())):
        signature = signature or house.camera.sign(data)
        (recording / name).write_bytes(data)
        (recording / f"{name}.p7s").write_bytes(signature if name == "manifest.json" else house.camera.sign(data))
    return Made(root, whole, signature)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """One recording, and one four times as long."""
    return make(tmp_path_factory.mktemp("short"), SHORT), make(tmp_path_factory.mktemp("long"), 4 * SHORT)


def sealed(made: Made) -> RecordingReport:
    house = agency()
    key = OpeningKey(house.agency.key, house.agency.certificate)
    check = RecordingCheck(DirectorySource(made.root), begin().recording, house.roots, key, None, None)
    return RecordingReport(begin().recording, *check.run())


def film(made: Made) -> RecordingReport:
    return verify_film("film", made.plain(), agency().roots, [Papers("m", made.manifest.to_bytes(), made.signature)])


@cache
def peak_bytes(run: Callable[[Made], RecordingReport], made: Made) -> int:
    run(made)  # what is made once, and kept, is made here
    tracemalloc.start()
    try:
        report = run(made)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.verdict is Verdict.AUTHENTIC, [one.sentence() for one in report.findings]
    counted = {one.layer: one.count for one in report.findings if one.layer == "media" and one.count > 1}
    assert counted == {"media": len(made.manifest.fragments)}
    return peak


@pytest.mark.parametrize("run", [sealed, film])
def test_memory_does_not_grow_with_length(pair: tuple[Made, Made], run: Callable[[Made], RecordingReport]) -> None:
    """Four times the footage: the papers grow, the footage in memory does not."""
    short, long = (peak_bytes(run, made) for made in pair)
    grown = (long - short) / (3 * SHORT)
    assert grown < PAPERS_BYTES, f"{grown:.0f} bytes a fragment"
    assert long < 20 * PICTURES * UNIT_BYTES, f"{long} bytes at the peak: more than some fragments at once"


@pytest.mark.parametrize("run", [sealed, film])
def test_findings_do_not_grow_with_length(pair: tuple[Made, Made], run: Callable[[Made], RecordingReport]) -> None:
    short, long = (len(run(made).findings) for made in pair)
    assert short == long
