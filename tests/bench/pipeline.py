"""The evidence path after the encoder, and verification: CPU per minute of 1080p30 footage at 8 Mbit/s, and peak memory.

Ours: pre-event buffer, media signing, fragments, hashing, sealing to two recipients, durable writes, ledger with signatures, signed
manifest. Peers on the same stream in the same run: ``ffmpeg -c copy`` into fragmented MP4 piped through ``age -r``, which neither signs
nor hashes nor syncs; picamera2's ring and file writer (``ring.py``), which do not even encipher. The floor (``floor.py``) is what the
formats ask for by themselves, held against the same peers.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.footage import DEFAULT, FPS, FULL_HD
from tests.bench.workshop import HERE, Figures, Run, Workshop, result, run

PRESS_S = 31
"""Activation comes when the pre-event buffer has been full for a second."""


class Pipeline:
    """One stream, one camera, its peers. ``minutes`` of footage a run."""

    def __init__(self, shop: Workshop, minutes: int) -> None:
        self._directory = shop.directory
        self._shop = shop
        self._minutes = minutes
        self._stream = shop.stream(FULL_HD)
        identity = self._directory / "peer.key"
        if not identity.exists():
            subprocess.run(["age-keygen", "-o", identity], capture_output=True, check=True)
        self._recipient = subprocess.run(["age-keygen", "-y", identity], capture_output=True, text=True, check=True).stdout.strip()

    def peer(self, *, framed: bool) -> float:
        """CPU seconds per minute of footage; ``framed``: from MP4, where somebody else has already found the pictures."""
        target = self._directory / "peer.age"
        source: tuple[str, ...]
        if framed:
            source = ("-stream_loop", str(self._minutes - 1), "-i", str(self._stream.mp4))
        else:
            source = ("-f", "h264", "-r", str(FPS), "-i", "concat:" + "|".join([str(self._stream.annexb)] * self._minutes))
        copy = ("ffmpeg", "-v", "error", "-nostdin", *source, "-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof")
        done = run((*copy, "-f", "mp4", "-"), ("age", "-r", self._recipient, "-o", target))
        if target.stat().st_size < self._minutes * self._stream.mp4.stat().st_size * 0.99:
            sys.exit("bench: the peer's file is shorter than the footage")
        target.unlink()
        return done.cpu_s / self._minutes

    def ring(self) -> float:
        """CPU seconds per minute of footage through picamera2's ring, importing it not counted."""
        target = self._directory / "ring.mp4"
        done = run((sys.executable, HERE / "ring.py", self._stream.annexb, str(self._minutes), str(PRESS_S), target))
        count = ("ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", target)
        kept, given = int(run(count).output), self._minutes * len(self._stream.spans)
        if not 0 <= given - kept <= 2 * FPS:
            sys.exit(f"bench: picamera2's file holds {kept} of {given} pictures")
        target.unlink()
        return float(json.loads(done.output)["cpu_s"]) / self._minutes

    def floor(self) -> tuple[float, float]:
        """CPU seconds per minute of footage that the formats' own hashing, enciphering, copying and writing cost; and with key agreements,
        signatures and syncs."""
        target = self._directory / "floor"
        target.mkdir()
        done = json.loads(run((sys.executable, HERE / "floor.py", self._stream.annexb, str(self._minutes), target)).output)
        shutil.rmtree(target)
        return done["bytes"] / self._minutes, done["whole"] / self._minutes

    def ours(self, profile: str = "") -> tuple[float, float]:
        """CPU seconds per minute of footage, and peak memory over the pre-event buffer in MB."""
        camera = self._directory / "camera"
        done = self._record(camera, profile)
        buffered = self._check(camera)
        shutil.rmtree(camera)
        return done.cpu_s / self._minutes, (json.loads(done.output)["peak_rss_bytes"] - buffered) / 1e6

    def verification(self, rounds: int) -> tuple[float, float]:
        """CPU seconds per minute of footage: `oathcam verify` with a key, and ffmpeg decoding what `oathcam open` makes of it."""
        camera, opened = self._directory / "camera", self._directory / "opened"
        self._record(camera)
        self._check(camera)
        agency = self._shop.agency.directory
        oathcam = (sys.executable, "-P", "-m", "tools.cli")
        keys = ("--trust", agency / "root.crt", "--key", agency / "agency.key")
        run((*oathcam, "open", camera / "card", *keys, "--output", opened))
        (film,) = opened.glob("*.mp4")
        decode = ("ffmpeg", "-v", "error", "-nostdin", "-i", film, "-f", "null", "-")
        verify = (*oathcam, "verify", camera / "card", *keys)
        pairs = [(run(verify).cpu_s / self._minutes, run(decode).cpu_s / self._minutes) for _ in range(rounds)]
        shutil.rmtree(camera)
        shutil.rmtree(opened)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        return ours, theirs

    def _record(self, camera: Path, profile: str = "") -> Run:
        """One camera of its own, whose card then holds the footage as one recording."""
        self._shop.camera(camera.name, FULL_HD)
        where = (camera, self._stream.annexb, str(self._minutes), str(PRESS_S))
        return run((sys.executable, HERE / "ours.py", *where, *filter(None, [profile])))

    def _check(self, camera: Path) -> int:
        """A path that lost a picture was not measured. Returns the bytes that the buffer held at activation."""
        (manifest,) = (camera / "card/vault").glob("*/manifest.json")
        facts: dict[str, Any] = json.loads(manifest.read_text())
        kept = sum(fragment["pictures"] for fragment in facts["fragments"])
        before = facts["pre_event"]["fragments"] * FPS
        spans = self._stream.spans
        skipped = self._minutes * len(spans) - kept
        if facts["gaps"] or before < 29 * FPS or not 0 <= skipped <= 2 * FPS:
            sys.exit(f"bench: the recording is not whole: {kept} pictures kept, {before} before the press, gaps {facts['gaps']!r}")
        return sum(span.size for span in spans[skipped : skipped + before])


def evidence(shop: Workshop, rounds: int, minutes: int) -> Figures:
    bench = Pipeline(shop, minutes)
    measured = [(*bench.ours(), *bench.floor(), bench.peer(framed=False), bench.peer(framed=True), bench.ring()) for _ in range(rounds)]
    cpu_s, memory_mb, bytes_s, whole_s, peer_s, framed_s, ring_s = (statistics.median(column) for column in zip(*measured, strict=True))
    return {
        "evidence_path_cpu": result(cpu_s, "CPU s/min", "ffmpeg -c copy | age -r", peer_s, 0.8),
        "evidence_path_floor": result(bytes_s, "CPU s/min", "ffmpeg -c copy | age -r", peer_s, None),
        "evidence_path_floor_with_keys": result(whole_s, "CPU s/min", "ffmpeg -c copy | age -r", peer_s, None),
        "evidence_path_cpu_framed_peer": result(cpu_s, "CPU s/min", "the same, reading MP4", framed_s, None),
        "evidence_path_cpu_vs_picamera2": result(cpu_s, "CPU s/min", "picamera2 CircularOutput2 to PyavOutput", ring_s, 4.0),
        "evidence_path_floor_vs_picamera2": result(whole_s, "CPU s/min", "picamera2 CircularOutput2 to PyavOutput", ring_s, None),
        "peak_memory_over_buffer_mb": result(memory_mb, "MB", "", None, 64.0),
    }


def verification(shop: Workshop, rounds: int) -> Figures:
    """Over two minutes: decoding costs the peer more than everything else here together."""
    verify_s, decode_s = Pipeline(shop, 2).verification(rounds)
    return {"verify_vs_decode": result(verify_s, "CPU s/min", "ffmpeg -f null, decoding", decode_s, 0.2)}


HOURS, EACH_S = 12, 300
"""The shift: one recording an hour, five minutes from press to stop and the buffer before it; an hour of a shift's twelve is evidence."""


def virtual_shift(shop: Workshop) -> Figures:
    """CPU seconds of twelve hours of the default policy's pictures through the daemon's own loop, on a clock that does not wait."""
    camera, stream = shop.camera("shift"), shop.stream(DEFAULT)
    command = (sys.executable, HERE / "shift.py", camera, stream.annexb, str(HOURS), str(EACH_S))
    done = json.loads(run(command).output)
    kept = []
    for manifest in sorted((camera / "card/vault").glob("*/manifest.json")):
        facts = json.loads(manifest.read_text())
        kept.append(0 if facts["gaps"] else sum(fragment["pictures"] for fragment in facts["fragments"]))
    expected = (EACH_S + 30) * FPS
    whole = len(kept) == done["recordings"] == HOURS and all(expected <= one <= expected + 2 * FPS for one in kept)
    if not whole or done["pictures"] != HOURS * 3600 * FPS:
        sys.exit(f"bench: the shift is not whole: {done!r}, pictures kept {kept!r}")
    shutil.rmtree(camera)
    return {"virtual_shift_12h_cpu_s": result(done["cpu_s"], "CPU s", "", None, 60.0)}
