"""Release only on a verified receipt: forged, foreign and unfit receipts are refused by name, and the recording stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from camerabench import RECORDING, leave, receipt_for

from hal.interfaces import ButtonName
from tools.provision import make_agency


@pytest.fixture
def bench(make_bench: Callable):
    one = make_bench(pre_event=1)
    one.world.double_press(one.at(2))
    one.world.press(ButtonName.RECORD, one.at(3), hold_ms=3300)
    one.run(8)
    return one


def dock(bench) -> None:
    now = bench.world.now_ns / 1e9
    bench.world.dock(bench.at(now + 5))
    bench.run(now + 12)


def test_a_good_receipt_releases(bench) -> None:
    """BWC-POL-23, BWC-POL-43: receipt leaf, then release leaf, then the recording is gone."""
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    dock(bench)
    assert bench.recordings() == []
    assert [kind for kind in bench.kinds() if kind in ("receipt", "release")] == ["receipt", "release"]
    assert (bench.card / "ledger" / "receipts" / f"{RECORDING}.json").exists()


def test_a_grace_period_keeps_a_receipted_recording(make_bench: Callable) -> None:
    """BWC-POL-43: days that the policy sets pass before the release, through reboots."""
    bench = make_bench(pre_event=1, changes={"grace_days = 0": "grace_days = 2"})
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    dock(bench)
    assert bench.recordings() == [RECORDING]
    assert "receipt" in bench.kinds()
    bench.world.run_until(bench.at(2 * 86_400))
    bench.run(2 * 86_400 + 30)
    assert bench.recordings() == []
    assert bench.kinds().count("receipt") == 1


def test_a_critical_recording_is_the_last_to_leave(make_bench: Callable) -> None:
    """BWC-POL-21: it stays for days of its own after its receipt, known by its flag, through reboots; then it leaves like any other."""
    bench = make_bench(pre_event=1, changes={"critical_days = 14": "critical_days = 3"})
    bench.world.double_press(bench.at(2))
    for tap in range(8):
        bench.world.press(ButtonName.FUNCTION, bench.at(3 + tap))
    bench.world.press(ButtonName.RECORD, bench.at(15), hold_ms=3300)
    bench.run(20)
    assert "critical" in bench.kinds()
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    dock(bench)
    assert (bench.recordings(), bench.kinds().count("receipt")) == ([RECORDING], 1)
    for day, there in ((2, [RECORDING]), (3, [])):
        bench.world.run_until(bench.at(day * 86_400 + 60))
        bench.run(day * 86_400 + 90)
        assert bench.recordings() == there
    assert bench.kinds().count("release") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"recording": "SIM-0001-000001-0009"},
        {"device": "SIM-0002"},
        {"manifest_sha256": "11" * 32},
        {"store": "store-2"},
    ],
)
def test_a_receipt_that_does_not_fit_is_refused(bench, changes: dict) -> None:
    """BWC-POL-42: signed by the right store, but not for these bytes."""
    leave(bench, receipt_for(bench, **changes), bench.agency.directory / "dock")
    dock(bench)
    assert bench.recordings() == [RECORDING]
    assert "release" not in bench.kinds()
    assert any("refused" in one.fields["reason"] for one in bench.entries() if one.kind == "fault")
    assert (bench.card / "sync" / "receipts" / "refused" / f"{RECORDING}.json").exists()


def test_a_receipt_that_leaves_out_a_file_is_refused(bench) -> None:
    """BWC-POL-42: a store that has not got everything cannot release anything."""
    whole = receipt_for(bench)
    leave(bench, receipt_for(bench, files=whole.files[1:]), bench.agency.directory / "dock")
    dock(bench)
    assert bench.recordings() == [RECORDING]


def test_a_store_of_another_agency_cannot_release(bench, tmp_path) -> None:
    """BWC-POL-23: the signature must lead to this agency's root."""
    stranger = make_agency(tmp_path / "stranger", "Stranger")
    leave(bench, receipt_for(bench), stranger.directory / "dock")
    dock(bench)
    assert bench.recordings() == [RECORDING]
    assert "receipt" not in bench.kinds()


def test_a_dock_is_no_store(bench) -> None:
    """BWC-POL-23: the TLS identity of a dock station cannot sign receipts: roles are not mixed."""
    folder = bench.agency.directory / "dock"
    impostor = bench.card.parent / "impostor"
    impostor.mkdir()
    for suffix in ("key", "crt"):
        (impostor / f"store.{suffix}").write_bytes((folder / f"tls.{suffix}").read_bytes())
    leave(bench, receipt_for(bench), impostor)
    dock(bench)
    assert bench.recordings() == [RECORDING]


def test_there_is_no_way_to_remove_a_recording_but_release() -> None:
    """BWC-POL-22: the only call that removes files of the vault is the one behind a receipt's warrant."""
    import inspect

    from firmware.storage import durable, vault

    removing = [name for name, value in vars(durable).items() if inspect.isfunction(value) and "volume.remove(" in inspect.getsource(value)]
    assert sorted(removing) == ["_create", "remove_directory", "remove_empty_directory"]
    source = inspect.getsource(vault.Vault)
    assert source.count("remove_directory(") == 1
    assert "warrant.receipt_leaf" in inspect.getsource(vault.Vault.release)
