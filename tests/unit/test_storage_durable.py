"""The one module that decides a sync order, over the simulated card: every cut leaves whole files under final names, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware.storage import durable
from firmware.storage.vault import ReleaseWarrant, Vault, recording_id
from hal.errors import DeviceFault, HalError, PowerCut, VolumeFull
from hal.sim.card import CardFault, Loss
from hal.sim.volume import SimVolume
from hal.sim.world import World

FILES = [("a", b"A" * 700), ("b", b"B" * 1500), ("c", b"C")]


def card(directory: Path, loss: Loss = Loss.RANDOM, seed: int = 1) -> tuple[World, SimVolume]:
    world = World(10**18, seed=seed)
    world.card.loss = loss
    directory.mkdir(exist_ok=True)
    return world, SimVolume(directory, world.power_on())


def reboot(world: World, directory: Path) -> SimVolume:
    return SimVolume(directory, world.power_on())


def contents(volume: SimVolume, directory: str) -> dict[str, bytes]:
    return {name: volume.read(f"{directory}/{name}") for name, size in volume.list(directory) if size >= 0}


@pytest.mark.parametrize("loss", list(Loss))
def test_every_cut_in_a_replaced_group_leaves_complete_files_or_none(tmp_path: Path, loss: Loss) -> None:
    """BWC-POL-28, W5: a final name never shows half a file, whatever the card loses."""
    for number in range(1, 40):
        world, volume = card(tmp_path / f"{number}", loss, seed=number)
        volume.make_directory("vault")
        volume.sync_directory("")
        world.card.fail_at(number, CardFault.POWER_CUT)
        try:
            durable.replace_group(volume, "vault", FILES)
        except PowerCut:
            found = contents(reboot(world, tmp_path / f"{number}"), "vault")
            wanted = dict(FILES)
            assert all(data == wanted[name] for name, data in found.items() if not name.endswith(durable.TEMPORARY))
        else:
            with pytest.raises(PowerCut):
                world.lose_power()
            assert contents(reboot(world, tmp_path / f"{number}"), "vault") == dict(FILES)
            return
    raise AssertionError("the group never finished")


@pytest.mark.parametrize("loss", list(Loss))
def test_new_files_that_were_written_survive_with_their_directory(tmp_path: Path, loss: Loss) -> None:
    """W1: when the call has returned, bytes and names are durable, however the back-end ordered them."""
    for seed in range(12):
        world, volume = card(tmp_path / f"{seed}", loss, seed)
        durable.make_directory(volume, "vault")
        durable.write_new(volume, "vault/R-1", FILES, make=True)
        durable.write_new(volume, "vault/R-1", [("d", b"D" * 5000)])
        with pytest.raises(PowerCut):
            world.lose_power()
        assert contents(reboot(world, tmp_path / f"{seed}"), "vault/R-1") == {**dict(FILES), "d": b"D" * 5000}


def test_a_cut_while_new_files_are_written_may_leave_torn_ones(tmp_path: Path) -> None:
    """Why no leaf may come before the call has returned, and why a boot sets aside what no leaf names (W2)."""
    torn = 0
    for number in range(1, 40):
        world, volume = card(tmp_path / f"{number}", seed=number)
        durable.make_directory(volume, "vault")
        world.card.fail_at(1 + number % 9, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            durable.write_new(volume, "vault", FILES)
        found = contents(reboot(world, tmp_path / f"{number}"), "vault")
        torn += any(data != dict(FILES)[name] for name, data in found.items())
    assert torn


@pytest.mark.parametrize("write", [durable.replace_group, durable.write_new])
@pytest.mark.parametrize("fault", [CardFault.IO_ERROR, CardFault.FULL, CardFault.SHORT_WRITE])
def test_a_failed_group_can_be_written_again(tmp_path: Path, fault: CardFault, write: Callable[..., None]) -> None:
    for number in range(1, 30):
        world, volume = card(tmp_path / f"{number}")
        volume.make_directory("vault")
        world.card.fail_at(number, fault)
        try:
            write(volume, "vault", FILES)
        except (DeviceFault, VolumeFull):
            write(volume, "vault", FILES)
        assert contents(volume, "vault") == dict(FILES)


def test_a_log_after_a_failed_append_reads_as_if_it_never_was(tmp_path: Path) -> None:
    """W4: the torn tail of an append that failed is cut off before the next one."""
    world, volume = card(tmp_path / "card")
    log = durable.AppendLog(volume, "log", 0)
    log.append(b"one\n")
    world.card.fail_at(1, CardFault.SHORT_WRITE)
    with pytest.raises(DeviceFault):
        log.append(b"two" * 500 + b"\n")
    log.append(b"three\n")
    assert volume.read("log") == b"one\nthree\n"
    assert log.length_bytes == len(b"one\nthree\n")


@pytest.mark.parametrize("loss", list(Loss))
def test_an_append_that_returned_survives_a_cut(tmp_path: Path, loss: Loss) -> None:
    world, volume = card(tmp_path / "card", loss)
    log = durable.AppendLog(volume, "log", 0)
    log.append(b"promised\n")
    with pytest.raises(PowerCut):
        world.lose_power()
    assert reboot(world, tmp_path / "card").read("log").startswith(b"promised\n")


def test_a_release_interrupted_anywhere_can_be_repeated(tmp_path: Path) -> None:
    """W3: removing a receipted recording is idempotent."""
    for number in range(1, 20):
        world, volume = card(tmp_path / f"{number}", seed=number)
        vault = Vault(volume)
        vault.prepare()
        vault.begin("R-1", FILES)
        world.card.fail_at(number, CardFault.POWER_CUT)
        try:
            vault.release(ReleaseWarrant("R-1", 3))
        except PowerCut:
            vault = Vault(reboot(world, tmp_path / f"{number}"))
            vault.release(ReleaseWarrant("R-1", 3))
        assert vault.recordings() == ()


def test_a_release_needs_a_leaf(tmp_path: Path) -> None:
    """BWC-POL-23."""
    _, volume = card(tmp_path / "card")
    vault = Vault(volume)
    vault.prepare()
    vault.begin("R-1", [])
    with pytest.raises(ValueError, match="durable leaf"):
        vault.release(ReleaseWarrant("R-1", -1))
    assert vault.recordings() == ("R-1",)


def test_what_is_set_aside_never_replaces_anything(tmp_path: Path) -> None:
    """W2: the bytes of every stranger are kept, under a name of its own."""
    _, volume = card(tmp_path / "card")
    vault = Vault(volume)
    vault.prepare()
    for data in (b"first", b"second"):
        (vault.begin if data == b"first" else vault.add)("R-1", [("000009.m4s.p7m", data)])
        vault.set_aside("R-1", "000009.m4s.p7m")
    assert sorted(contents(volume, "unattested/R-1").values()) == [b"first", b"second"]


def test_a_recording_id_is_a_plain_name() -> None:
    assert recording_id("SIM-0001", 3, 12) == "SIM-0001-000003-0012"
    for serial in ("../x", "a/b", "", "x" * 80, "a b"):
        with pytest.raises(ValueError, match="recording id must match"):
            recording_id(serial, 1, 1)


def test_the_volume_refuses_names_that_leave_it(tmp_path: Path) -> None:
    _, volume = card(tmp_path / "card")
    for name in ("../evil", "a//b", "a/../b", "a/./b"):
        with pytest.raises(HalError):
            durable.write_file(volume, name, b"x")
