"""The simulated card: what a power cut may take, and what it never takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.errors import DeviceFault, HalError, PowerCut, VolumeFull
from hal.interfaces import Hal, Volume
from hal.sim.boot import boot
from hal.sim.card import CardFault, Loss
from hal.sim.world import World


def started(world: World, root: Path, **more: object) -> Hal:
    return boot(world, {"volume": root / "card", "keys": root / "keys", **more})


def cut(world: World) -> None:
    with pytest.raises(PowerCut):
        world.lose_power()


def promise(volume: Volume, name: str, data: bytes) -> None:
    """The whole ritual: after it, nothing may take the file."""
    file = volume.create(name + ".tmp")
    file.write(data)
    file.sync()
    file.close()
    volume.rename(name + ".tmp", name)
    directory = name.rpartition("/")[0]
    volume.sync_directory(directory)


def after_cut(tmp_path: Path, loss: Loss, work: Callable[[Volume], None], seed: int = 0) -> Volume:
    """The volume of the next life, after ``work(volume)`` and a cut."""
    world = World(0, seed)
    world.card.loss = loss
    hal = started(world, tmp_path)
    work(hal.volume)
    cut(world)
    return started(world, tmp_path).volume


@pytest.mark.parametrize("loss", Loss)
def test_what_was_synced_with_its_name_survives(tmp_path: Path, loss: Loss) -> None:
    """BWC-POL-28."""
    volume = after_cut(tmp_path, loss, lambda volume: promise(volume, "a", b"promised"))
    assert volume.list("") == (("a", 8),)
    assert volume.read("a") == b"promised"


def test_unsynced_bytes_are_lost(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        promise(volume, "a", b"one")
        volume.append("a").write(b"two")

    assert after_cut(tmp_path, Loss.DROP_ALL, work).read("a") == b"one"


def test_a_truncated_file_is_synced_with_what_it_keeps(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        promise(volume, "a", b"one")
        volume.append("a").write(b"two three")
        volume.truncate("a", 6)

    assert after_cut(tmp_path, Loss.DROP_ALL, work).read("a") == b"onetwo"


def test_a_synced_file_without_its_name_is_lost(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        file = volume.create("a")
        file.write(b"one")
        file.sync()

    assert after_cut(tmp_path, Loss.DROP_ALL, work).list("") == ()


def test_a_rename_without_its_directory_is_undone_and_gives_back_what_it_replaced(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        promise(volume, "a", b"old")
        promise(volume, "b", b"new")
        volume.rename("b", "a")

    volume = after_cut(tmp_path, Loss.DROP_ALL, work)
    assert (volume.read("a"), volume.read("b")) == (b"old", b"new")


def test_a_removal_without_its_directory_is_undone(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        promise(volume, "a", b"kept")
        volume.remove("a")
        file = volume.create("a")
        file.write(b"another")
        file.sync()

    assert after_cut(tmp_path, Loss.DROP_ALL, work).read("a") == b"kept"


def test_a_directory_without_its_parent_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        volume.make_directory("d/e")
        promise(volume, "d/e/a", b"1")
        volume.sync_directory("d")

    assert after_cut(tmp_path, Loss.DROP_ALL, work).list("") == ()


def test_a_durable_change_makes_the_chain_that_led_to_it_durable(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        volume.make_directory("d")
        volume.sync_directory("")
        volume.create("d/b")
        volume.rename("d/b", "a")
        volume.remove("a")
        volume.sync_directory("")

    volume = after_cut(tmp_path, Loss.DROP_ALL, work)
    assert volume.list("") == (("d", -1),)
    assert volume.list("d") == ()


def test_a_renamed_directory_comes_back_under_its_old_name(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        volume.make_directory("d")
        volume.sync_directory("")
        promise(volume, "d/a", b"1")
        volume.rename("d", "e")
        promise(volume, "e/b", b"2")

    volume = after_cut(tmp_path, Loss.DROP_ALL, work)
    assert volume.list("") == (("d", -1),)
    assert volume.list("d") == (("a", 1), ("b", 1))


def test_keep_all_keeps_all(tmp_path: Path) -> None:
    def work(volume: Volume) -> None:
        volume.make_directory("d")
        volume.create("d/a").write(b"unsynced")

    assert after_cut(tmp_path, Loss.KEEP_ALL, work).read("d/a") == b"unsynced"


def test_an_orderly_end_keeps_all(tmp_path: Path) -> None:
    world = World(0)
    world.card.loss = Loss.DROP_ALL
    hal = started(world, tmp_path)
    hal.volume.create("a").write(b"unsynced")
    hal.close()
    again = started(world, tmp_path)
    cut(world)
    assert again.backend == "sim"
    assert (tmp_path / "card" / "a").read_bytes() == b"unsynced"


def test_a_random_cut_tears_at_sectors(tmp_path: Path) -> None:
    """Over many seeds: tails are dropped, kept, cut anywhere, and sectors read as zeros; never anything else."""
    data = bytes(range(1, 256)) * 12
    seen: set[str] = set()
    for seed in range(40):

        def work(volume: Volume) -> None:
            promise(volume, "a", b"")
            volume.append("a").write(data)

        left = after_cut(tmp_path / str(seed), Loss.RANDOM, work, seed).read("a")
        for start in range(0, len(left), 512):
            sector = left[start : start + 512]
            assert sector in (data[start : start + len(sector)], bytes(len(sector)))
        seen.add("whole" if left == data else "none" if not left else "torn" if left == data[: len(left)] else "zeros")
    assert seen == {"whole", "none", "torn", "zeros"}


_NAMES = st.sampled_from(["a", "b", "d/a", "d/b"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), _NAMES, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("sync"), _NAMES),
        st.tuples(st.just("rename"), _NAMES, _NAMES),
        st.tuples(st.just("remove"), _NAMES),
        st.tuples(st.just("sync_directory"), st.sampled_from(["", "d"])),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps=_STEPS, seed=st.integers(0, 1000), loss=st.sampled_from(Loss))
def test_any_work_leaves_a_volume_that_boots_and_keeps_every_promise(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, ...]], seed: int, loss: Loss
) -> None:
    root = tmp_path_factory.mktemp("card")

    def work(volume: Volume) -> None:
        volume.make_directory("d")
        volume.sync_directory("")
        promise(volume, "promised", b"promised")
        promise(volume, "d/promised", b"promised")
        for step in steps:
            _do(volume, step)

    volume = after_cut(root, loss, work, seed)
    assert volume.read("promised") == volume.read("d/promised") == b"promised"
    for directory in ("", "d/"):
        for name, size in volume.list(directory[:-1]):
            assert size < 0 or len(volume.read(directory + name)) == size


def _do(volume: Volume, step: tuple[str, ...]) -> None:
    kind, *arguments = step
    try:
        if kind in ("write", "sync"):
            file = volume.append(arguments[0])
            file.write(arguments[1] if kind == "write" else b"")  # type: ignore[arg-type]
            if kind == "sync":
                file.sync()
            file.close()
        else:
            getattr(volume, kind)(*arguments)
    except HalError as error:
        assert "no such name" in str(error)  # noqa: PT017 - a rename or removal of what is absent


# --- the fault plan -------------------------------------------------------------------------------------------------


def test_a_full_card_takes_what_fits_and_says_so(tmp_path: Path) -> None:
    world = World(0)
    hal = started(world, tmp_path, capacity_bytes=100)
    file = hal.volume.create("a")
    file.write(b"x" * 60)
    assert hal.volume.free_bytes() == 40
    with pytest.raises(VolumeFull):
        file.write(b"y" * 60)
    assert (hal.volume.free_bytes(), len(hal.volume.read("a"))) == (0, 100)
    hal.volume.truncate("a", 60)
    assert hal.volume.free_bytes() == 40
    hal.volume.remove("a")
    assert hal.volume.free_bytes() == 100
    hal.close()
    assert started(world, tmp_path, capacity_bytes=100).volume.free_bytes() == 100


def test_the_nth_operation_meets_its_fault_and_the_next_does_not(tmp_path: Path) -> None:
    world = World(0)
    hal = started(world, tmp_path)
    before = world.card.operations
    world.card.fail_at(2, CardFault.IO_ERROR)
    world.card.fail_at(4, CardFault.FULL)
    file = hal.volume.create("a")
    with pytest.raises(DeviceFault):
        file.write(b"x")
    file.write(b"y")
    with pytest.raises(VolumeFull):
        file.sync()
    file.sync()
    assert (world.card.operations - before, world.card.last) == (5, "sync a")
    assert hal.volume.read("a") == b"y"


def test_a_short_write_leaves_a_part_behind(tmp_path: Path) -> None:
    lengths = set()
    for seed in range(12):
        world = World(0, seed)
        file = started(world, tmp_path / str(seed)).volume.create("a")
        world.card.fail_at(1, CardFault.SHORT_WRITE)
        with pytest.raises(DeviceFault):
            file.write(b"0123456789")
        left = (tmp_path / str(seed) / "card" / "a").read_bytes()
        assert b"0123456789".startswith(left)
        lengths.add(len(left))
    assert len(lengths) > 3


def test_a_cut_inside_each_operation_in_turn(tmp_path: Path) -> None:
    """BWC-POL-28: a cut at every boundary of the ritual leaves either nothing or the whole, under ``Loss.RANDOM``."""
    outcomes: set[bytes | None] = set()
    ritual = ("create", "write", "sync", "rename", "sync_directory")
    for number, operation in enumerate(ritual, 1):
        for seed in range(4):
            root = tmp_path / f"{number}-{seed}"
            world = World(0, seed)
            hal = started(world, root)
            world.card.fail_at(number, CardFault.POWER_CUT)
            with pytest.raises(PowerCut):
                promise(hal.volume, "a", b"promised")
            assert world.card.last.startswith(operation)
            volume = started(world, root).volume
            names = [name for name, _ in volume.list("")]
            outcomes.add(volume.read("a") if "a" in names else None)
    assert outcomes == {None, b"promised"}


def test_a_dead_card_and_a_bad_sector(tmp_path: Path) -> None:
    world = World(0)
    hal = started(world, tmp_path)
    promise(hal.volume, "a", b"1")
    world.card.spoilt.add("a")
    with pytest.raises(DeviceFault):
        hal.volume.read("a")
    world.card.fail_always(CardFault.IO_ERROR)
    for _ in range(3):
        with pytest.raises(DeviceFault):
            hal.volume.create("b")
    world.card.fail_always(None)
    hal.volume.create("b")


def test_the_hiding_place_is_neither_listed_nor_reachable(tmp_path: Path) -> None:
    hal = started(World(0), tmp_path)
    promise(hal.volume, "a", b"1")
    hal.volume.remove("a")
    assert hal.volume.list("") == ()
    with pytest.raises(HalError, match="reserved"):
        hal.volume.create(".limbo/x")
    hal.close()
    assert list((tmp_path / "card").iterdir()) == []
