"""docs/format.md says what the code does: every example, field, type, limit and object identifier in it is compared with the code.

When one fails, either the format drifted, or the document did: the message shows what the code says, in the document's words.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID
from helpers_format import (
    PLAIN,
    RECIPIENT_SCALAR,
    certificates,
    document,
    documents,
    examples,
    field_types,
    leaf_types,
    policy_rules,
    value_of,
)

from firmware.custody.checkpoint import read_log
from firmware.custody.note import parse_note
from firmware.dock import fields as dock_fields
from firmware.dock import protocol, wire
from firmware.errors import FormatError
from firmware.evidence import annotation, cms, cms_asn1, jcs, manifest, pki
from firmware.evidence import fields as f
from firmware.media.boxes import NON_SYNC_SAMPLE, SYNC_SAMPLE
from firmware.media.fmp4_read import parse_fragment, parse_init
from firmware.media.onvif_sei import parse_sei
from firmware.storage import vault
from tools.dock.layout import RESERVED
from tools.pki import C2PA_CLAIM_SIGNING

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
LIMITED = [
    *(f"firmware.evidence.{name}" for name in ("annotation", "cms", "fields", "jcs", "manifest", "pki", "primitives")),
    *(f"firmware.custody.{name}" for name in ("checkpoint", "entries", "merkle", "note", "order", "receipt", "snapshot")),
    *(f"firmware.media.{name}" for name in ("access_unit", "boxes", "chain", "fmp4", "fmp4_read", "gop", "onvif_sei", "received_gop")),
    *(f"firmware.media.{name}" for name in ("onvif_records", "signer", "sps", "stream_signers", "time_sei", "validator")),
    *(f"firmware.dock.{name}" for name in ("fields", "wire", "upload", "client")),
    *("firmware.policy.minisign", "firmware.policy.lists", "firmware.policy.load", "tools.dock.uploads"),
]
"""Modules whose public numbers are limits of the format: each of them stands in the document."""


def table(marker: str) -> list[list[str]]:
    """The cells of the table behind ``<!-- marker -->``, without its head; code marks of the first two taken off."""
    _, _, rest = TEXT.partition(f"<!-- {marker} -->\n")
    assert rest, f"no table <!-- {marker} -->"
    rows = []
    for line in rest.splitlines()[2:]:
        if not line.startswith("| "):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def markers(kind: str) -> list[str]:
    return re.findall(rf"<!-- {kind}: ([^ ]+) -->", TEXT)


def block(name: str) -> str:
    _, _, rest = TEXT.partition(f"<!-- example: {name} -->\n```\n")
    return rest.partition("\n```")[0]


# --- worked examples


def test_every_example_is_printed_once() -> None:
    assert sorted(markers("example")) == sorted(examples())


@pytest.mark.parametrize("name", sorted(examples()))
def test_an_example_is_what_the_code_makes(name: str) -> None:
    assert block(name) == examples()[name], f"{name}: the code says\n{examples()[name]}"


def test_the_examples_are_read_by_the_readers() -> None:
    """What is printed is no mere echo of the writers: it parses, verifies and opens."""
    camera, recipient = certificates()
    key = ec.derive_private_key(RECIPIENT_SCALAR, ec.SECP256R1())
    assert cms.open_sealed(bytes.fromhex(block("sealed")), key, recipient) == PLAIN
    public = pki.public_key(camera)
    state = read_log(block("log").encode() + b"\n", "oathcam/OC-000001", public, verify_all=True)
    assert [entry.kind for entry in state.entries] == ["boot", "ready", "mark"]
    assert state.tail == b""
    assert [one.name for one in parse_note(block("note").encode() + b"\n").signatures] == ["oathcam/OC-000001", "dock-7"]
    sei = parse_sei(bytes.fromhex(block("signing-sei")))
    assert sei.signature is not None
    public.verify(sei.signature, sei.document, ec.ECDSA(cms.hashes.SHA256()))
    found = parse_fragment(bytes.fromhex(block("fragment")), parse_init(bytes.fromhex(block("init"))))
    assert (len(found.video), len(found.audio), found.wall_ns) == (2, 1, 1_795_421_687_123_456_000)
    assert manifest.Begin.from_bytes(block("begin").encode()).recording == "OC-000001-000007-0001"


# --- fields


def test_every_document_has_a_table() -> None:
    assert sorted(markers("fields")) == sorted(documents())


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_fields_of_a_document_are_those_that_the_code_checks(name: str) -> None:
    printed = {row[0].strip("`"): row[1] for row in table(f"fields: {name}")}
    assert printed == field_types(document(name))


def test_the_fields_of_leaves_are_those_that_the_code_checks() -> None:
    printed = {f"{row[0].strip('`').replace('every', '*')}.{row[1].strip('`')}": row[2] for row in table("leaves")}
    assert printed == leaf_types()


def test_every_kind_of_leaf_is_named() -> None:
    assert [kind for kind in manifest_kinds() if f"`{kind}`" not in TEXT] == []


def manifest_kinds() -> Iterator[str]:
    from firmware.custody.entries import KINDS

    yield from KINDS


def test_the_policy_is_the_one_that_the_code_reads() -> None:
    printed = [tuple(row) for row in table("policy")]
    assert printed == [(f"`{rule[0]}`", *map(str, rule[1:])) for rule in policy_rules()]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [(f._NAME, "name"), (f._FILE, "file name"), (f._TOKEN, "token"), (f._UTC, "time"), (f._HEX32, "digest"), (annotation.CODE, "code")],
)
def test_a_pattern_is_printed_as_it_is(pattern: re.Pattern[str], name: str) -> None:
    """The letter for 64 hex digits stands in brackets in both."""
    assert any(line.startswith(f"| {name} |") and f"`{pattern.pattern}`" in line for line in TEXT.splitlines())


# --- messages of the dock link, by trying the bounds that the document states

SHA = "ab" * 32
OFFER = {"files": [{"bytes": 1, "name": "begin.json", "sha256": SHA}], "manifest": SHA, "recording": "R-1"}
MARK = {"log_bytes": 0, "root": SHA, "size": 0}
ANSWER = {"files": [{"offset": 0, "sha256": SHA}], "reason": "", "recording": "R-1", "state": "wanted"}
MESSAGES: dict[str, dict[str, Any]] = {
    "DeviceReport": {"boot": 0, "firmware": "1", "ledger_size": 0, "recordings": [OFFER], "serial": "S", "version": 1},
    "SessionAnswer": {"ledger": MARK, "recordings": [ANSWER], "site": "dock"},
    "LedgerMark": MARK,
    "LedgerExtension": {"chain": "", "checkpoint": "", "log": "", "log_offset": 0, "old_size": 0, "proof": [SHA]},
    "LedgerAnswer": {"ledger": MARK, "note": ""},
    "SignedReceipt": {"receipt": "", "signature": ""},
    "SignedPolicy": {"policy": "", "signature": ""},
    "SignedOrder": {"officer": "", "order": "", "signature": ""},
    "SessionClose": {"alarms": ["x"], "missing": ["R-1"]},
    "ProblemBody": {"detail": "", "expected-offset": 0, "status": 400, "type": "about:blank"},
}


def number(text: str) -> int:
    return {"2^53-1": f.MAX_INTEGER}.get(text) or int(text)


def probes(kind: str) -> tuple[list[Any], list[Any]]:
    """Values at the edge of a type as the document states it: those that must be taken, those that must not."""
    if match := re.fullmatch(r"(integer|line of|text of|ASCII of|array of) (\S+) to (\S+)", kind):
        low, high = number(match[2]), number(match[3])
        match match[1]:
            case "integer":
                beyond = [] if high == f.MAX_INTEGER else [high + 1]
                return [low, high], [low - 1, *beyond, True, str(low), None]
            case "line of":
                return ["", "é" * high], ["x" * (high + 1), "\n", "\x7f", 1]
            case "text of":
                return ["", "\n", "é" * high], ["x" * (high + 1), 1]
            case "ASCII of":
                return ["", "x" * high], ["x" * (high + 1), "é", 1]
        return [[]], [[None] * (high + 1), {}, None]
    if kind.startswith("one of "):
        return re.findall("`([^`]+)`", kind), ["other", "", None]
    return {
        "digest": ([SHA], ["AB" * 32, "ab" * 31, 1]),
        "serial": (["A.b_1-", "a" * 64], ["a" * 65, "a..b", "-a", "", 1]),
        "recording id": (["A.b_1-", "a" * 80], ["a" * 81, "a..b", "a/b", "", 1]),
        "vault name": (["manifest.json", "000000.m4s.p7m"], ["0.m4s.p7m", "x", "", 1]),
        "text": (["", "\nx"], [1, None]),
        "base64": (["", "QUJD", "QUI="], ["QUI", "QUJ=", "!", 1]),
    }[kind]


def with_value(message: dict[str, Any], path: str, value: Any) -> bytes:
    whole = json.loads(json.dumps(message))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = whole
    for part in parents:
        inner = inner[part]
    inner[last] = value
    return jcs.canonical(whole)


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Every member and every item of an array of scalars, as the document writes them."""
    pairs = value.items() if isinstance(value, dict) else [("0", value[0])] if isinstance(value, list) and value else []
    for name, inner in pairs:
        here = f"{prefix}{name}"
        if not isinstance(inner, dict):
            yield here
        yield from paths(inner, f"{here}.")


def test_every_message_has_a_table() -> None:
    kinds = {name for name, kind in vars(protocol).items() if isinstance(kind, type) and "from_bytes" in vars(kind)}
    assert set(markers("message")) == kinds == set(MESSAGES)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_fields_of_a_message_are_those_that_the_code_checks(name: str) -> None:
    printed = {row[0].strip("`"): row[1] for row in table(f"message: {name}")}
    read = getattr(protocol, name).from_bytes
    assert json.loads(read(jcs.canonical(MESSAGES[name])).to_bytes()).keys() == MESSAGES[name].keys()
    assert sorted(printed) == sorted(paths(MESSAGES[name]))
    for path, kind in printed.items():
        good, bad = probes(kind)
        for value in good:
            read(with_value(MESSAGES[name], path, value))
        for value in bad:
            bound = rf"at most {len(value) - 1}\b" if isinstance(value, list) else None
            with pytest.raises(FormatError, match=bound):
                read(with_value(MESSAGES[name], path, value))


def test_refusals_states_and_names_are_printed() -> None:
    words = [one.value for one in protocol.Refusal] + [f"`{one.value}`" for one in protocol.OfferState]
    words += [*dock_fields.FIXED_NAMES, *(f"`{name}`" for name in sorted(RESERVED)[:4])]
    words += [f"`{one.pattern.removesuffix(chr(92) + 'Z')}`" for one in (dock_fields._SERIAL, dock_fields._RECORDING)]
    assert [word for word in words if word not in TEXT] == []
    used = set(re.findall(r"\| `[^|]+` \| ([0-9][^|]*)\|", TEXT))
    assert {number for text in used for number in re.findall(r"\b[45]\d\d\b", text)} <= {str(one) for one in wire._REASONS}


def test_every_request_is_printed() -> None:
    printed = {(method, re.sub("<[^>]+>", "*", path)) for method, path in re.findall(r"^\| `([A-Z]+) (/v1/[^`]+)`", TEXT, re.MULTILINE)}
    code = set()
    for methods, rest in re.findall(r'case \((.+?), ("v1".*?)\)', (ROOT / "tools" / "dock" / "routes.py").read_text()):
        path = "/".join(part.strip('"') if part.startswith('"') else "*" for part in rest.split(", "))
        code |= {(method, f"/{path}") for method in re.findall("[A-Z]+", methods)}
    assert printed == code


# --- limits and object identifiers


def public_numbers(module: str) -> Iterator[str]:
    """Names in capitals that a module itself gives a number."""
    found = importlib.import_module(module)
    assert found.__file__ is not None
    for node in ast.parse(Path(found.__file__).read_text()).body:
        for target in node.targets if isinstance(node, ast.Assign) else []:
            for name in [one.id for one in ast.walk(target) if isinstance(one, ast.Name)]:
                value = getattr(found, name)
                if name.isupper() and not name.startswith("_") and type(value) in (int, float):
                    yield f"{module}.{name}".removeprefix("firmware.")


def test_every_limit_is_the_codes() -> None:
    printed = {row[0].strip("`"): row[1] for row in table("limits")}
    assert printed == {name: value_of(name) for name in printed}


def test_no_limit_is_missing() -> None:
    printed = {row[0].strip("`") for row in table("limits")}
    assert {name for module in LIMITED for name in public_numbers(module)} - printed == set()


def test_every_object_identifier_is_the_codes() -> None:
    printed = {row[0].strip("`"): row[1] for row in table("oids")}
    assert printed == {name: value_of(name) for name in printed}
    ours = {f"evidence.cms_asn1.{name}" for name, value in vars(cms_asn1).items() if isinstance(value, x509.ObjectIdentifier)}
    assert ours - printed.keys() == set()
    others = [*cms._CURVE_OIDS.values(), ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH, NameOID.SERIAL_NUMBER]
    others += [SignatureAlgorithmOID.ECDSA_WITH_SHA384, C2PA_CLAIM_SIGNING]
    known = {*printed.values(), *(one.dotted_string for one in others)}
    assert set(re.findall(r"(?<![\w.])[012](?:\.\d+){3,}(?!\w|\.\d)", TEXT)) == known


def test_numbers_in_the_prose_are_the_codes() -> None:
    """Those that another implementation cannot do without and that stand in no table."""
    for words in (
        f"deeper than {jcs.MAX_DEPTH} arrays",
        f"1 to {cms.MAX_RECIPIENTS} recipients",
        f"at most {value_of('custody.entries.MAX_LEAF_BYTES')} bytes, without a line feed",
        f"0x{SYNC_SAMPLE:08x} for an IDR picture, 0x{NON_SYNC_SAMPLE:08x} for a GOP that continues",
        f"heads of at most {wire.MAX_HEAD_BYTES} bytes and {wire.MAX_FIELDS} fields",
        f"At most {value_of('media.access_unit.MAX_BYTES')} bytes and {value_of('media.access_unit.MAX_NALS')} NAL units a picture",
        f"exceed {value_of('media.gop.MAX_GOP_PICTURES')} pictures or {value_of('media.gop.MAX_GOP_BYTES')} bytes",
        f"At most {cms.MAX_SIGNATURE_BYTES} bytes",
        f"canonical JSON of at most {dock_fields.MAX_BODY_BYTES} bytes",
    ):
        assert words in PROSE, words


def test_every_role_and_its_issuer_are_printed() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    for role, issuer in pki.ISSUER_OF.items():
        above = "itself" if issuer is role else f"`{issuer.value}`"
        assert any(line.startswith(f"| `{role.value}` | {above} |") for line in rows), role


def test_names_on_the_card_are_those_of_the_vault() -> None:
    names = [vault.BEGIN, vault.INIT, vault.NOTES, vault.ASSIGNMENT, vault.MANIFEST, vault.fragment_name(0)]
    assert [name for name in names if f"vault/<recording>/{name}" not in TEXT] == []
    assert vault.recording_id("OC-000001", 7, 1) in TEXT


def test_formats_are_printed() -> None:
    found = set(re.findall(r"oathcam-[a-z]+/\d", TEXT))
    code = {match for path in (ROOT / "firmware").rglob("*.py") for match in re.findall(r'"(oathcam-[a-z]+/\d)"', path.read_text())}
    assert found == code
