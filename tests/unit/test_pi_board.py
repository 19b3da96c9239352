"""The boards' tables: wiring without a clash, detection without a guess."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hal.errors import HalUnavailable
from hal.pi.board import BOARDS, BUILDS, Build, VideoEncoder, board_of_revision, detect_board


def proc_with(directory: Path, revision: bytes | None = None, cpuinfo: str | None = None) -> Path:
    if revision is not None:
        node = directory / "device-tree" / "system"
        node.mkdir(parents=True)
        (node / "linux,revision").write_bytes(revision)
    if cpuinfo is not None:
        (directory / "cpuinfo").write_text(cpuinfo)
    return directory


@pytest.mark.parametrize("build", BUILDS.values(), ids=lambda one: one.name)
def test_no_pin_is_used_twice(build: Build) -> None:
    numbers = [number for _, number in build.pins.numbered()]
    assert len(numbers) == len(set(numbers))
    assert all(2 <= number <= 27 for number in numbers)  # 0 and 1 are the HAT's identification
    assert not {8, 21} & set(numbers)  # claimed by the overlays of TPM and microphone


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda one: one.name)
def test_a_sample_revision_names_its_own_board(board) -> None:
    assert board_of_revision(board.sample_revision) is board
    assert board.build in BUILDS.values()


def test_only_boards_without_the_block_encode_in_software() -> None:
    """BCM2712 has no H.264 encoder; every other supported board has."""
    assert {name for name, board in BOARDS.items() if board.encoder is VideoEncoder.LIBX264} == {"5", "cm5"}


def test_a_revision_is_read_from_the_device_tree(tmp_path: Path) -> None:
    board, revision = detect_board(proc=proc_with(tmp_path, struct.pack(">I", 0x902120)))
    assert (board.name, revision) == ("zero2w", 0x902120)


def test_a_revision_is_read_from_cpuinfo(tmp_path: Path) -> None:
    board, _ = detect_board(proc=proc_with(tmp_path, cpuinfo="Hardware\t: BCM2835\nRevision\t: b03140\n"))
    assert board.name == "cm4"


def test_a_named_board_stands_where_nothing_can_be_read(tmp_path: Path) -> None:
    board, revision = detect_board("zero2w", proc_with(tmp_path))
    assert (board.name, revision) == ("zero2w", board.sample_revision)


@pytest.mark.parametrize(
    ("named", "revision", "cpuinfo", "said"),
    [
        (None, None, None, "no Raspberry Pi"),
        ("zero3", None, None, "no board 'zero3'"),
        ("5", struct.pack(">I", 0x902120), None, "says 'zero2w'"),
        (None, b"\x00\x90", None, "expected 4 bytes"),
        (None, struct.pack(">I", 0x000E), None, "older than any supported board"),
        (None, struct.pack(">I", 0x9000C1), None, "has type 0x0c"),
        (None, None, "Revision\t: zzz\n", "not hexadecimal"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, named, revision, cpuinfo, said: str) -> None:
    """Absent, contradictory or unknown: each is an error that says which."""
    with pytest.raises(HalUnavailable, match=said):
        detect_board(named, proc_with(tmp_path, revision, cpuinfo))
