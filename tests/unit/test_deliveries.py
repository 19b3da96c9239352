"""What a dock brings besides receipts, a policy and an order: taken in only when it is the agency's and newer, refused by name else;
what was in force stays."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from camerabench import Bench

from firmware.board import Board
from firmware.dock.protocol import SignedOrder
from firmware.evidence import pki
from firmware.evidence.cms import open_sealed
from firmware.evidence.findings import Verdict
from firmware.installed import choose_policy
from firmware.policy.load import PROFILES
from firmware.policy.minisign import sign_minisign
from hal.errors import PowerCut
from hal.interfaces import ButtonName, Colour, Lamp, LampName
from hal.sim.card import CardFault
from hal.sim.timeline import SECOND
from tools.assigning import make_order, recipients_beside
from tools.opening import read_notes
from tools.policies import profile_names
from tools.provision import make_agency

RECORDING = "SIM-0001-000001-0001"


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(pre_event=1)


def signed(bench: Bench, agency: Any = None, **changes: str) -> tuple[bytes, bytes]:
    """The camera's policy with changes, and its signature by the agency's key."""
    text = bench.config.policy.read_text(encoding="utf-8")
    for old, new in ({"version = 1 ": "version = 2 "} | changes).items():
        assert old in text, old
        text = text.replace(old, new)
    key = bytes.fromhex(((agency or bench.agency).directory / "policy.key").read_text())
    return text.encode(), sign_minisign(key[8:], key[:8], text.encode(), "a test's policy").encode()


def leave_policy(bench: Bench, data: bytes, signature: bytes) -> None:
    """As the dock-sync process does: the signature first."""
    spool = bench.card / "sync" / "policy"
    spool.mkdir(parents=True, exist_ok=True)
    (spool / "policy.toml.minisig").write_bytes(signature)
    (spool / "policy.toml").write_bytes(data)


def order(bench: Bench, officer: str = "officer 4712", *, serial: str = "SIM-0001", at: float = 0, agency: Any = None) -> SignedOrder:
    """Issued at a second of the world."""
    dock = (agency or bench.agency).directory / "dock"
    now_ns = bench.world.true_wall_ns() + round(at * SECOND) - bench.world.now_ns
    return make_order(serial, officer, "tag 7", recipients_beside(dock), (dock / "store.crt", dock / "store.key"), now_ns)


def leave_order(bench: Bench, one: SignedOrder) -> None:
    spool = bench.card / "sync" / "order"
    spool.mkdir(parents=True, exist_ok=True)
    (spool / "order.json").write_bytes(one.to_bytes())


def dock(bench: Bench, *, stay: float = 5, leave: bool = True) -> None:
    """Dock five seconds from now; with ``leave`` the next run begins outside of it."""
    now = bench.world.now_ns / SECOND
    bench.world.dock(bench.at(now + 2))
    if leave:
        bench.world.undock(bench.at(now + 2 + stay))
    bench.run(now + 4 + stay)


def record(bench: Bench) -> str:
    """One recording in a run of its own; its name."""
    now, before = bench.world.now_ns / SECOND, set(bench.recordings())
    bench.world.double_press(bench.at(now + 2))
    bench.world.press(ButtonName.RECORD, bench.at(now + 3), hold_ms=3300)
    bench.run(now + 9)
    (made,) = set(bench.recordings()) - before
    return made


def faults(bench: Bench, port: str) -> list[str]:
    return [one.fields["reason"] for one in bench.entries() if one.kind == "fault" and one.fields["port"] == port]


def codes(bench: Bench) -> list[str]:
    """What a verifier without any key finds in the newest recording."""
    return [one.code for one in bench.verify(with_key=False).recordings[-1].findings]


def begin_of(bench: Bench, recording: str) -> dict[str, Any]:
    return json.loads((bench.card / "vault" / recording / "begin.json").read_bytes())


# --- the policy


def test_the_profiles_that_a_camera_knows_are_those_that_come_with_it() -> None:
    """BWC-POL-08: a delivered policy is derived from one of them, or it is refused."""
    assert list(PROFILES) == profile_names()


def test_a_newer_policy_is_taken_in_and_in_force_at_the_next_boot(bench: Bench) -> None:
    """BWC-POL-29, BWC-POL-03: its leaf names it, the run ends for it, and the next recording names it too."""
    leave_policy(bench, *signed(bench, **{"\nseconds = 1 ": "\nseconds = 2 "}))
    dock(bench, stay=30, leave=False)
    leaf = next(one for one in bench.entries() if one.kind == "policy")
    assert (leaf.fields["profile"], leaf.fields["version"]) == ("default", 2)
    last = bench.entries()[-1]
    assert (last.kind, last.fields["reason"]) == ("shutdown", "policy")
    assert list((bench.card / "sync" / "policy").glob("policy*")) == []
    installed, troubles = choose_policy(bench.config)
    assert (installed.policy.version, installed.policy.pre_event.seconds, installed.sha256, troubles) == (2, 2, leaf.fields["sha256"], ())
    bench.world.undock(bench.world.now_ns + SECOND)
    made = record(bench)
    assert bench.manifest(made).policy.version == 2
    boots = [one.fields["policy_sha256"] for one in bench.entries() if one.kind == "boot"]
    assert boots[-1] == leaf.fields["sha256"] != boots[0]
    assert bench.verify().verdict is Verdict.AUTHENTIC


def docked_lamp(bench: Bench) -> Lamp:
    """What the wearer's lamp showed last in a visit to the dock, before the run ended; the cell is full, nothing waits."""
    bench.world.set_power(100)
    dock(bench, stay=30, leave=False)
    bench.world.undock(bench.world.now_ns + SECOND)
    shown = [one.lamp for one in bench.world.seen.lamps if one.name is LampName.STATUS]
    assert shown[-1] == Lamp()
    return shown[-2]


def test_a_docked_camera_is_not_green_before_the_newer_policy_is_in_force(bench: Bench) -> None:
    """BWC-POL-45: charged and all handed over is not enough; to take it then would be to take it with the rules of yesterday."""
    assert docked_lamp(bench) == Lamp(Colour.GREEN)
    leave_policy(bench, *signed(bench))
    assert docked_lamp(bench) == Lamp(Colour.BLUE, 1000)
    assert docked_lamp(bench) == Lamp(Colour.GREEN)


def test_the_leaf_is_durable_before_the_policy_counts(bench: Bench) -> None:
    """BWC-POL-29: power goes between leaf and name: the boot after has the old policy, and takes the delivered one again."""
    data, signature = signed(bench)
    Board(bench.config.key_directory).stage_policy(2, data, signature)
    assert choose_policy(bench.config)[0].policy.version == 1
    leave_policy(bench, data, signature)
    dock(bench)
    assert choose_policy(bench.config)[0].policy.version == 2
    assert faults(bench, "policy") == []


def refused(bench: Bench, name: str) -> tuple[bytes, bytes]:
    """What a camera must not take, by name."""
    data, signature = signed(bench)
    match name:
        case "unsigned":
            return data, b""
        case "changed":
            return data.replace(b"seconds = 1 ", b"seconds = 3 "), signature
        case "stranger":
            return signed(bench, make_agency(bench.config.path.parent / "stranger", "Stranger"))
        case "older":
            return signed(bench, **{"version = 2 ": "version = 1 ", "\nseconds = 1 ": "\nseconds = 4 "})
        case "unknown profile":
            return signed(bench, **{'profile = "default"': 'profile = "lapd"'})
        case "out of bounds":
            return signed(bench, **{"hold_to_stop_ms = 3000": "hold_to_stop_ms = 10"})
        case "no text":
            return b"\xff\xfe", signature
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unsigned", "expected 4 lines"),
        ("changed", "signature does not fit the content"),
        ("stranger", "expected a signature by key"),
        ("older", "expected a version above 1, got 1"),
        ("unknown profile", "expected a profile of"),
        ("out of bounds", "activation.hold_to_stop_ms"),
        ("no text", "does not fit"),
    ],
)
def test_a_policy_that_is_not_the_agencys_or_not_newer_is_refused(bench: Bench, name: str, why: str) -> None:
    """BWC-POL-29: said once in the ledger, kept aside, and the last good one stays in force."""
    before = choose_policy(bench.config)[0]
    data, signature = refused(bench, name)
    bench.world.dock(bench.at(2))
    with bench.life() as daemon:
        for until in (8, 16):  # the dock offers it again and again
            leave_policy(bench, data, signature)
            bench.world.horizon_ns = bench.at(until)
            daemon.run()
    (said,) = faults(bench, "policy")
    assert why in said
    assert list((bench.card / "sync" / "policy").glob("policy*")) == []
    assert (bench.card / "sync" / "policy" / "refused" / "policy.toml").read_bytes() == data
    assert choose_policy(bench.config)[0] == before
    assert "policy" not in bench.kinds()
    assert "shutdown" not in bench.kinds()


def test_the_same_policy_again_is_nothing_new(bench: Bench) -> None:
    """BWC-POL-29: a dock offers what it has at every visit; no leaf, no fault, no restart."""
    policy = bench.config.policy
    leave_policy(bench, policy.read_bytes(), policy.with_name("policy.toml.minisig").read_bytes())
    dock(bench)
    assert list((bench.card / "sync" / "policy").glob("policy*")) == []
    assert {"policy", "fault"} & set(bench.kinds()) == set()


def test_a_policy_is_not_taken_while_the_camera_is_worn_or_records(bench: Bench) -> None:
    """BWC-POL-29, BWC-POL-02: what lies in the spool outside of a dock, or during a recording in it, waits."""
    leave_policy(bench, *signed(bench))
    bench.world.double_press(bench.at(2))
    bench.world.dock(bench.at(4))
    bench.run(12)
    assert "policy" not in bench.kinds()
    assert (bench.card / "sync" / "policy" / "policy.toml").exists()


def test_a_card_that_is_turned_back_does_not_bring_the_older_policy(bench: Bench, tmp_path: Path) -> None:
    """BWC-POL-29: what was taken in lies beside the keys, so the card has no say in it."""
    leave_policy(bench, *signed(bench))
    dock(bench)
    for name in ("log", "snapshot", "checkpoint"):
        (bench.card / "ledger" / name).unlink(missing_ok=True)
    leave_policy(bench, bench.config.policy.read_bytes(), bench.config.policy.with_name("policy.toml.minisig").read_bytes())
    dock(bench)
    assert choose_policy(bench.config)[0].policy.version == 2
    assert "expected a version above 2, got 1" in faults(bench, "policy")[0]


def test_a_delivered_policy_that_was_changed_gives_way_to_the_provisioned_one(bench: Bench) -> None:
    """BWC-POL-29, BWC-POL-47: the camera records under what is still good, and the ledger says what was not."""
    leave_policy(bench, *signed(bench))
    dock(bench)
    kept = bench.config.key_directory / "orders" / "policy-2.toml"
    kept.write_bytes(kept.read_bytes().replace(b"seconds = 1 ", b"seconds = 0 "))
    made = record(bench)
    assert bench.manifest(made).policy.version == 1
    assert "policy-2.toml" in faults(bench, "policy")[0]


def test_of_two_policies_the_higher_version_is_in_force(bench: Bench) -> None:
    """BWC-POL-29: a camera that is provisioned anew with a higher version forgets the delivered one, and not the other way round."""
    board = Board(bench.config.key_directory)
    for version in (2, 3):
        board.stage_policy(version, *signed(bench, **{"version = 1 ": f"version = {version} "} if version == 3 else {}))
        board.commit_policy(version)
    assert [name for name, *_ in board.policies()] == ["policy-3.toml"]
    assert choose_policy(bench.config)[0].policy.version == 3
    data, signature = signed(bench, **{"version = 1 ": "version = 9 "})
    bench.config.policy.write_bytes(data)
    bench.config.policy.with_name("policy.toml.minisig").write_bytes(signature)
    assert choose_policy(bench.config)[0].policy.version == 9


def waiting(make_bench: Callable[..., Bench], seed: int) -> Bench:
    """A camera that goes into the dock with a policy and an order waiting for it."""
    bench = make_bench(pre_event=1, seed=seed)
    leave_policy(bench, *signed(bench))
    leave_order(bench, order(bench, at=1))
    bench.world.dock(bench.at(3))
    return bench


def test_power_may_go_at_any_step_of_taking_them_in(make_bench: Callable[..., Bench]) -> None:
    """BWC-POL-28, BWC-POL-29, BWC-POL-30: what counts after the cut has its leaf; the next visit takes both, and refuses nothing."""
    whole = waiting(make_bench, 0)
    before = whole.world.card.operations
    whole.run(9)
    seen = set()
    for number in range(1, whole.world.card.operations - before, 3):
        bench = waiting(make_bench, number)
        provisioned = Board(bench.config.key_directory).order()
        bench.world.card.fail_at(number, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(12)
        kinds = {one.kind for one in bench.entries(after_cut=True)} if (bench.card / "ledger" / "device.pem").exists() else set()
        version = choose_policy(bench.config)[0].policy.version
        assigned = Board(bench.config.key_directory).order() != provisioned
        assert version == 1 or "policy" in kinds, number
        assert not assigned or "assign" in kinds, number
        seen.add((version, assigned))
        bench.run(bench.world.now_ns / SECOND + 9)
        assert choose_policy(bench.config)[0].policy.version == 2, number
        assert Board(bench.config.key_directory).order() != provisioned, number
        assert faults(bench, "policy") == faults(bench, "order") == [], number
    assert seen >= {(1, False), (2, False), (2, True)}


# --- who wears it


def test_a_recording_names_its_officer_to_those_who_can_open_it(bench: Bench) -> None:
    """BWC-POL-30, BWC-POL-33: the order is assigned at the dock, its leaf comes first, and every recording from then on carries it."""
    one = order(bench, "officer Ńiżej", at=1)
    leave_order(bench, one)
    dock(bench)
    leaf = next(entry for entry in bench.entries() if entry.kind == "assign")
    made = record(bench)
    assert begin_of(bench, made)["order"] == leaf.fields["order_sha256"]
    words = read_notes(bench.source(), bench.manifest(made), bench.key())
    assert (words["officer"], words["tag"]) == ("officer Ńiżej", "tag 7")
    assert "unassigned" not in codes(bench)
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_neither_card_nor_camera_has_the_name_in_clear(bench: Bench) -> None:
    """BWC-POL-30, BWC-POL-33: not on the card, not beside the keys, not in the configuration."""
    leave_order(bench, order(bench, at=1))
    dock(bench)
    made = record(bench)
    files = [one for one in bench.config.path.parent.rglob("*") if one.is_file()]
    assert [one for one in files if b"officer 47" in one.read_bytes()] == []  # a number alone may stand in any hash
    sealed = open_sealed(
        (bench.card / "vault" / made / "assignment.json.p7m").read_bytes(), bench.key().private_key, bench.key().certificate
    )
    inner = json.loads(sealed)["officer_sealed"]
    words = json.loads(open_sealed(b64decode(inner), bench.key().private_key, bench.key().certificate))
    assert words["officer"] == "officer 4712"


def test_an_unassigned_camera_records_and_says_so_without_any_key(bench: Bench) -> None:
    """BWC-POL-30: evidence is never refused; that nobody was assigned can be read by anybody, who it was by nobody."""
    leave_order(bench, order(bench, "", at=1))
    dock(bench)
    leaf = next(entry for entry in bench.entries() if entry.kind == "unassign")
    assert leaf.fields["cause"] == "order"
    made = record(bench)
    assert begin_of(bench, made)["order"] is None
    assert read_notes(bench.source(), bench.manifest(made), bench.key())["officer"] == "UNASSIGNED"
    assert codes(bench).count("unassigned") == 1
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("clear", [True, False])
def test_a_camera_that_comes_back_is_nobodys_if_the_policy_says_so(make_bench: Callable[..., Bench], clear: bool) -> None:
    """BWC-POL-30: once per return; the order that was over is not taken again, a new one is."""
    bench = make_bench(pre_event=1, changes={"clear_at_dock = false": f"clear_at_dock = {str(clear).lower()}"})
    first = order(bench, "officer 1", at=1)
    leave_order(bench, first)
    dock(bench)
    assert begin_of(bench, record(bench))["order"] is not None  # it was taken in after it was cleared
    leave_order(bench, first)
    dock(bench)
    kinds = [one.fields["cause"] for one in bench.entries() if one.kind == "unassign"]
    assert kinds == (["returned", "returned"] if clear else [])
    assert (begin_of(bench, record(bench))["order"] is None) is clear
    leave_order(bench, order(bench, "officer 2", at=bench.world.now_ns / SECOND))
    dock(bench)
    made = record(bench)
    assert read_notes(bench.source(), bench.manifest(made), bench.key())["officer"] == "officer 2"


def test_a_boot_in_the_dock_is_no_return(make_bench: Callable[..., Bench]) -> None:
    """BWC-POL-30: a camera that was assigned in its dock, and starts again there (as for a new policy), keeps its officer."""
    bench = make_bench(pre_event=1, changes={"clear_at_dock = false": "clear_at_dock = true"})
    leave_order(bench, order(bench, at=1))
    dock(bench, leave=False)
    bench.run(bench.world.now_ns / SECOND + 6)
    bench.world.undock(bench.world.now_ns + SECOND)
    assert begin_of(bench, record(bench))["order"] is not None
    assert bench.kinds().count("unassign") == 1  # of the officer with whom it came back


def bad_order(bench: Bench, name: str) -> SignedOrder:
    good = order(bench, at=1)
    match name:
        case "of another camera":
            return order(bench, serial="SIM-0002", at=1)
        case "of another agency":
            return order(bench, at=1, agency=make_agency(bench.config.path.parent / "stranger", "Stranger"))
        case "with another officer":
            return SignedOrder(good.order, good.signature, order(bench, "officer 9", at=1).officer)
        case "changed":
            return SignedOrder(good.order.replace(b"SIM-0001", b"SIM-0002"), good.signature, good.officer)
        case "of the far future":
            return order(bench, at=10 * 86_400)
        case "older":
            return order(bench, "officer 0", at=-400 * 86_400)
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name", ["of another camera", "of another agency", "with another officer", "changed", "of the far future", "older"]
)
def test_an_order_that_is_not_for_this_camera_now_is_refused(bench: Bench, name: str) -> None:
    """BWC-POL-30: nobody else's word, and no older one, decides whose recordings they are."""
    if name == "older":
        leave_order(bench, order(bench, at=1))
        dock(bench)
    before = Board(bench.config.key_directory).order()
    leave_order(bench, bad_order(bench, name))
    dock(bench)
    assert len(faults(bench, "order")) == 1
    assert (bench.card / "sync" / "order" / "refused" / "order.json").exists()
    assert Board(bench.config.key_directory).order() == before


def test_a_changed_order_beside_the_keys_assigns_nobody(bench: Bench) -> None:
    """BWC-POL-30, BWC-POL-47: told in the ledger; the camera records, unassigned."""
    kept = bench.config.key_directory / "orders" / "order.json"
    kept.write_bytes(kept.read_bytes().replace(b'"officer":"M', b'"officer":"N'))
    made = record(bench)
    assert begin_of(bench, made)["order"] is None
    assert len(faults(bench, "order")) == 1


def test_the_dock_process_cannot_sign_an_order(bench: Bench) -> None:
    """BWC-POL-30: the TLS identity of a dock is no store's."""
    folder = bench.agency.directory / "dock"
    signed_by_tls = make_order(
        "SIM-0001", "x", "", recipients_beside(folder), (folder / "tls.crt", folder / "tls.key"), bench.world.true_wall_ns()
    )
    leave_order(bench, signed_by_tls)
    dock(bench)
    assert len(faults(bench, "order")) == 1
    assert "assign" not in bench.kinds()


def test_the_stores_certificates_are_found_where_provisioning_put_them(bench: Bench) -> None:
    """BWC-POL-30: the officer is sealed to the same recipients as the recordings."""
    names = [pki.common_name(one) for one in recipients_beside(bench.agency.directory / "dock")]
    assert [name.rpartition(" ")[2] for name in names] == ["agency", "oversight"]
