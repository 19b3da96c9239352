"""What every evidence volume owes. What survives a power cut is proved in the simulator's own tests and on real media."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_hal import VOLUMES

from hal.errors import DeviceFault, HalError, VolumeFull
from hal.interfaces import Volume

OUTSIDE = ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "./a", "a/.", "a/", "a\0b"]


@pytest.fixture(params=VOLUMES)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Volume, Path]]:
    with VOLUMES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def volume(rig: tuple[Volume, Path]) -> Volume:
    return rig[0]


def put(volume: Volume, name: str, data: bytes) -> None:
    file = volume.create(name)
    file.write(data)
    file.sync()
    file.close()


def test_what_was_written_is_read(volume: Volume) -> None:
    put(volume, "a", b"one" * 100_000)
    assert volume.read("a") == b"one" * 100_000


def test_write_takes_any_bytes_like_and_appends(volume: Volume) -> None:
    file = volume.create("a")
    file.write(b"")
    file.write(bytearray(b"ab"))
    file.write(memoryview(b"cd"))
    file.close()
    assert volume.read("a") == b"abcd"


def test_create_refuses_an_existing_name(volume: Volume) -> None:
    put(volume, "a", b"kept")
    with pytest.raises(HalError):
        volume.create("a")
    assert volume.read("a") == b"kept"


def test_append_makes_a_file_and_continues_one(volume: Volume) -> None:
    for part in (b"one", b"two"):
        file = volume.append("log")
        file.write(part)
        file.close()
    assert volume.read("log") == b"onetwo"


def test_a_closed_file_takes_nothing(volume: Volume) -> None:
    file = volume.create("a")
    file.close()
    file.close()
    with pytest.raises(HalError):
        file.write(b"x")


def test_truncate_shortens(volume: Volume) -> None:
    put(volume, "a", b"0123456789")
    volume.truncate("a", 4)
    assert volume.read("a") == b"0123"


@pytest.mark.parametrize("length", [-1, 11])
def test_truncate_never_lengthens(volume: Volume, length: int) -> None:
    put(volume, "a", b"0123456789")
    with pytest.raises(HalError):
        volume.truncate("a", length)
    assert volume.read("a") == b"0123456789"


def test_rename_replaces(volume: Volume) -> None:
    put(volume, "new", b"new")
    put(volume, "old", b"old")
    volume.rename("new", "old")
    assert volume.read("old") == b"new"
    assert volume.list("") == (("old", 3),)


def test_rename_moves_a_directory_with_what_is_in_it(volume: Volume) -> None:
    volume.make_directory("a")
    put(volume, "a/x", b"1")
    volume.rename("a", "b")
    assert volume.list("a") == ()
    assert volume.read("b/x") == b"1"


def test_an_open_file_is_written_under_its_new_name(volume: Volume) -> None:
    file = volume.create("a.tmp")
    file.write(b"one")
    volume.rename("a.tmp", "a")
    file.write(b"two")
    file.sync()
    file.close()
    assert volume.read("a") == b"onetwo"


def test_remove_takes_files_and_empty_directories_only(volume: Volume) -> None:
    volume.make_directory("a")
    put(volume, "a/x", b"1")
    with pytest.raises(HalError):
        volume.remove("a")
    volume.remove("a/x")
    volume.remove("a")
    assert volume.list("") == ()


def test_make_directory_makes_parents_and_may_exist(volume: Volume) -> None:
    volume.make_directory("a/b/c")
    volume.make_directory("a/b")
    assert volume.list("a") == (("b", -1),)
    put(volume, "file", b"")
    with pytest.raises(HalError):
        volume.make_directory("file")


def test_list_is_sorted_and_tells_sizes(volume: Volume) -> None:
    put(volume, "b", b"12")
    put(volume, "a", b"1")
    volume.make_directory("c")
    assert volume.list("") == (("a", 1), ("b", 2), ("c", -1))
    assert volume.list("absent/too") == ()


def test_sync_directory(volume: Volume) -> None:
    volume.make_directory("a")
    volume.sync_directory("a")
    volume.sync_directory("")
    with pytest.raises(HalError):
        volume.sync_directory("absent")


def test_free_bytes_is_plausible(volume: Volume) -> None:
    assert volume.free_bytes() > 1_000_000


def test_what_is_absent_is_an_error(volume: Volume) -> None:
    for call in (lambda: volume.read("x"), lambda: volume.remove("x"), lambda: volume.rename("x", "y"), lambda: volume.truncate("x", 0)):
        with pytest.raises(HalError) as caught:
            call()
        assert not isinstance(caught.value, (DeviceFault, VolumeFull))
    with pytest.raises(HalError):
        volume.create("absent/x")


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_cannot_leave_the_volume(rig: tuple[Volume, Path], name: str) -> None:
    """A name comes from nowhere but the firmware, and still must not reach outside (BWC-POL-22)."""
    volume, root = rig
    outside = root.parent / "outside"
    outside.write_bytes(b"untouched")
    put(volume, "inside", b"1")
    for call in (
        lambda: volume.create(name),
        lambda: volume.append(name),
        lambda: volume.truncate(name, 0),
        lambda: volume.rename("inside", name),
        lambda: volume.rename(name, "inside"),
        lambda: volume.remove(name),
        lambda: volume.read(name),
    ):
        with pytest.raises(HalError):
            call()
    assert outside.read_bytes() == b"untouched"
    assert volume.read("inside") == b"1"


def test_symbolic_links_are_not_followed(rig: tuple[Volume, Path]) -> None:
    """A card that was away may hold a link to anywhere: neither a file's nor a directory's is followed (BWC-POL-39)."""
    volume, root = rig
    away = root.parent / "away"
    away.mkdir()
    (away / "secret").write_bytes(b"secret")
    os.symlink(away, root / "directory")
    os.symlink(away / "secret", root / "file")
    for call in (
        lambda: volume.read("file"),
        lambda: volume.append("file"),
        lambda: volume.truncate("file", 0),
        lambda: volume.read("directory/secret"),
        lambda: volume.create("directory/new"),
        lambda: volume.remove("directory/secret"),
        lambda: volume.list("directory"),
        lambda: volume.make_directory("directory"),
    ):
        with pytest.raises(HalError):
            call()
    assert sorted(each.name for each in away.iterdir()) == ["secret"]
    assert (away / "secret").read_bytes() == b"secret"


def test_a_fifo_under_a_files_name_does_not_hang(rig: tuple[Volume, Path]) -> None:
    volume, root = rig
    os.mkfifo(root / "pipe")
    for call in (lambda: volume.read("pipe"), lambda: volume.append("pipe")):
        with pytest.raises(HalError):
            call()


def test_a_group_is_synced_with_its_names(volume: Volume) -> None:
    volume.make_directory("a")
    files = [volume.create(f"a/{number}") for number in range(3)]
    for file in files:
        file.write(b"one")
    volume.sync_group(files, ["a", ""])
    volume.sync_group([], ["a"])
    for file in files:
        file.close()
    assert volume.list("a") == (("0", 3), ("1", 3), ("2", 3))


def test_a_group_with_a_closed_file_is_refused(volume: Volume) -> None:
    """Who believes that something was synced which was not, would promise it."""
    file = volume.create("a")
    file.close()
    with pytest.raises(HalError):
        volume.sync_group([file], [""])
