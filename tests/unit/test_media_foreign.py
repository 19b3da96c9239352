"""Streams that other makers signed: every form that the specification allows is read, and what is read is checked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from firmware.media.onvif_sei import Vendor, parse_sei
from firmware.media.stream_report import GopStatus, StreamReport, StreamVerdict
from firmware.media.validator import validate_stream
from tests.unit.helpers_media import fake_units
from tests.unit.helpers_onvif import (
    PSS_OID,
    SHA256_OID,
    V15_OID,
    Sign,
    Stream,
    chain,
    crypto,
    ecdsa,
    general,
    gop_hashes,
    join,
    listed,
    pss,
    sei,
    tlv,
    v15,
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ROOT_KEY = rsa.generate_private_key(65537, 2048)
RSA_KEY = rsa.generate_private_key(65537, 2048)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())


def certificate(name: str, public: Key, issuer: str, key: Key, *, ca: bool) -> x509.Certificate:
    """As a maker would: no extension but basic constraints on the leaf."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2044, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


ROOT = certificate("maker root", ROOT_KEY, "maker root", ROOT_KEY, ca=True)
CA_KEY = ec.generate_private_key(ec.SECP384R1())
CA = certificate("maker line", CA_KEY, "maker root", ROOT_KEY, ca=True)


def pem(key: Key, name: str = "device") -> bytes:
    """Leaf and intermediate; the root is given by the user."""
    chain = (certificate(name, key, "maker line", CA_KEY, ca=False), CA)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


PEM = pem(P256)
SIGN = ecdsa(P256)
VENDOR = tlv(5, b"\x01\x03" + b"1.2" + b"\x01" + b"7" + b"\x05" + b"Maker")


def gops(count: int = 4, pictures: int = 6, slices: int = 2) -> list[Stream]:
    units = fake_units(count * pictures, pictures, slices=slices)
    return [[list(unit.nals) for unit in units[at : at + pictures]] for at in range(0, len(units), pictures)]


def check(stream: Stream, roots: list[x509.Certificate] | None = None) -> StreamReport:
    return validate_stream(map(tuple, stream), [ROOT] if roots is None else roots)


def altered(stream: Stream, picture: int = 8) -> Stream:
    changed = [list(nals) for nals in stream]
    changed[picture][-1] = changed[picture][-1][:-1] + b"\xab"
    return changed


Make = Callable[[int, list[bytes], bytes], list[bytes]]


def maker(**options: object) -> Make:
    """One signed SEI a GOP: crypto, chain, general, list, in that order unless told otherwise."""
    order = options.pop("order", (4, 6, 1, 2))
    key_pem, sign, oid, escape = options.pop("pem", PEM), options.pop("sign", SIGN), options.pop("oid", b""), options.pop("escape", True)
    flags, reserve, extra = options.pop("flags", 0), options.pop("reserve", 72), options.pop("extra", b"")

    def make(counter: int, hashed: list[bytes], linked: bytes) -> list[bytes]:
        known = {
            1: general(counter, hashed, linked, **options),  # type: ignore[arg-type]
            2: listed(hashed),
            4: crypto(oid),  # type: ignore[arg-type]
            5: VENDOR,
            6: chain(key_pem),  # type: ignore[arg-type]
            9: extra,
        }
        records = [known[tag] for tag in order]  # type: ignore[attr-defined,index]
        return [sei(records, sign, flags=flags, reserve=reserve, escape=escape)]  # type: ignore[arg-type]

    return make


FORMS: dict[str, dict[str, object]] = {
    "as the library": {},
    "other order": {"order": (2, 1, 6, 5, 4)},
    "no list": {"order": (4, 6, 1)},
    "general version 1": {"version": 1},
    "little endian, as the text says": {"order": (4, 6, 1, 2)},
    "hashed after emulation prevention": {"flags": 0x40},
    "stored without emulation prevention": {"escape": False},
    "unknown records": {"order": (4, 6, 9, 1, 2), "extra": tlv(9, b"\x00\x00\x01later") + tlv(200, b"")},
    "P-384": {"pem": pem(P384), "sign": ecdsa(P384), "reserve": 104},
    "P-384 with SHA-384": {
        "pem": pem(P384), "sign": ecdsa(P384, hashes.SHA384()), "reserve": 104, "oid": bytes.fromhex("06082a8648ce3d040303"),
    },
    "RSA-PSS, unnamed": {"pem": pem(RSA_KEY), "sign": pss(RSA_KEY, 222), "reserve": 256},
    "RSA-PSS, named": {"pem": pem(RSA_KEY), "sign": pss(RSA_KEY), "reserve": 256, "oid": PSS_OID},
    "RSA PKCS#1 v1.5, unnamed": {"pem": pem(RSA_KEY), "sign": v15(RSA_KEY), "reserve": 256},
    "RSA PKCS#1 v1.5, named": {"pem": pem(RSA_KEY), "sign": v15(RSA_KEY), "reserve": 256, "oid": V15_OID},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMS))
def test_a_form_that_the_specification_allows(name: str) -> None:
    options = dict(FORMS[name])
    if name.startswith("little"):
        made = join(gops(), lambda c, n, at: [sei([crypto(), chain(PEM), general(c, n, at, order="<"), listed(n)], SIGN)])
    else:
        made = join(gops(), maker(**options))
    report = check(made)
    assert (report.verdict, report.valid_gops, report.last_counter) == (StreamVerdict.AUTHENTIC, 4, 4), report.findings()
    changed = check(altered(made))
    assert changed.verdict is StreamVerdict.NOT_AUTHENTIC
    assert changed.verdicts[1].status is GopStatus.ALTERED
    assert changed.verdicts[1].altered == (() if name == "no list" else (8,))


def test_byte_order_is_remarked_and_may_not_change() -> None:
    """The text says little-endian, devices write big: either is the signer's statement, a change inside a stream is a fault."""

    def made(orders: str) -> Stream:
        return join(gops(), lambda c, n, at: [sei([crypto(), chain(PEM), general(c, n, at, order=orders[c - 1]), listed(n)], SIGN)])

    little = check(made("<<<<"))
    assert little.problems() == []
    assert [text for text in little.findings() if "little-endian" in text] == list(little.remarks)
    assert len(little.remarks) == 1
    assert check(made(">>>>")).findings() == []
    for orders, faults in (("><<<", 1), ("<<><", 2), (">>><", 1)):
        mixed = check(made(orders))
        assert mixed.verdict is StreamVerdict.NOT_AUTHENTIC
        assert [("other byte order" in text) for text in mixed.problems()] == [True] * faults


def test_unknown_records_are_remarked_and_cost_nothing() -> None:
    report = check(join(gops(), maker(**FORMS["unknown records"])))
    assert report.remarks == ("signing SEIs hold records that are not known here, tags [9, 200]",)


@pytest.mark.parametrize(("oid", "sign"), [(PSS_OID, v15(RSA_KEY)), (V15_OID, pss(RSA_KEY))], ids=["v1.5 named PSS", "PSS named v1.5"])
def test_another_algorithm_than_the_named_one_is_no_signature(oid: bytes, sign: Sign) -> None:
    report = check(join(gops(), maker(pem=pem(RSA_KEY), sign=sign, reserve=256, oid=oid)))
    assert {one.status for one in report.verdicts} == {GopStatus.BAD_SIGNATURE}


@pytest.mark.parametrize("oid", [bytes.fromhex("06032b6570"), V15_OID, b"\x06"])
def test_an_algorithm_that_is_not_read_cannot_be_told(oid: bytes) -> None:
    report = check(join(gops(), maker(oid=oid)))
    assert report.verdict is StreamVerdict.CANNOT_TELL
    assert any("expected an ECDSA algorithm" in text for text in report.findings())


def test_another_hash_cannot_be_told() -> None:
    sha512 = bytes.fromhex("0609608648016503040203")
    made = join(gops(), lambda c, n, at: [sei([crypto(hash_oid=sha512), chain(PEM), general(c, n, at)], SIGN)])
    assert check(made).verdict is StreamVerdict.CANNOT_TELL


# --- who signs


def test_chain_in_the_first_sei_alone() -> None:
    def make(counter: int, hashed: list[bytes], linked: bytes) -> list[bytes]:
        return [sei([crypto(), *([chain(PEM)] if counter == 1 else []), general(counter, hashed, linked), listed(hashed)], SIGN)]

    stream = join(gops(), make)
    assert check(stream).verdict is StreamVerdict.AUTHENTIC
    headless = check(stream[12:])
    assert headless.verdict is StreamVerdict.CANNOT_TELL
    assert any("expected certificates in the first signed SEI" in text for text in headless.findings())


@pytest.mark.parametrize("flags", [0, 0x40])
def test_certificate_sei(flags: int) -> None:
    """Certificates and algorithm once, in an SEI of its own; it is no part of a GOP and may be copied into a clip."""
    bring = sei([crypto(), VENDOR, chain(PEM)], SIGN, flags=0x80 | flags)
    stream = join(gops(), lambda c, n, at: [sei([general(c, n, at), listed(n)], SIGN, flags=flags)])
    stream[0].insert(0, bring)
    report = check(stream)
    assert (report.verdict, report.vendor) == (StreamVerdict.AUTHENTIC, Vendor("1.2", "7", "Maker"))
    assert check(stream[12:]).verdict is StreamVerdict.CANNOT_TELL
    clip = [[bring, *stream[12]], *stream[13:]]
    assert check(clip).verdict is StreamVerdict.AUTHENTIC_CLIP
    forged = [[bring[:-20] + bytes((bring[-20] ^ 4,)) + bring[-19:], *stream[0][1:]], *stream[1:]]
    assert check(forged).valid_gops == 0


def test_user_provisioned_key_beside_the_makers() -> None:
    """The certificate SEI is signed by the maker's key and brings both chains; GOPs are signed by the user's."""
    user = ec.generate_private_key(ec.SECP256R1())
    bring = sei([crypto(), chain(PEM), chain(pem(user, "user"), user=True)], SIGN, flags=0x80)
    stream = join(gops(), lambda c, n, at: [sei([general(c, n, at), listed(n)], ecdsa(user))])
    stream[0].insert(0, bring)
    report = check(stream)
    assert report.verdict is StreamVerdict.AUTHENTIC
    assert report.signer is not None
    assert report.signer.subject.rfc4514_string() == "CN=user"


def test_a_root_that_was_not_given_vouches_for_nobody() -> None:
    stream = join(gops(), maker())
    other = certificate("maker root", P384, "maker root", P384, ca=True)
    assert check(stream, [other]).verdict is StreamVerdict.NOT_AUTHENTIC
    assert check(stream, [other]).chain_checked is False
    assert validate_stream(map(tuple, stream), None).verdict is StreamVerdict.UNCHANGED


# --- SEIs without signature


def every(frequency: int) -> Make:
    """ "Signing multiple GOPs": every GOP has an SEI, every Nth is signed and covers those before it."""

    def make(counter: int, hashed: list[bytes], linked: bytes) -> list[bytes]:
        records = [crypto(), chain(PEM), general(counter, hashed, linked), listed(hashed)]
        return [sei(records, SIGN if counter % frequency == 0 else None)]

    return make


@pytest.mark.parametrize("frequency", [2, 3, 12])
def test_signed_every_nth_gop(frequency: int) -> None:
    stream = join(gops(12), every(frequency))
    report = check(stream)
    assert (report.verdict, report.valid_gops) == (StreamVerdict.AUTHENTIC, 12), report.findings()
    changed = check(altered(stream))
    assert [one.status is GopStatus.VALID for one in changed.verdicts] == [at != 1 for at in range(12)]
    assert changed.verdicts[1].altered == (8,)


def test_an_unsigned_sei_is_covered_byte_for_byte_and_proves_nothing_alone() -> None:
    stream = join(gops(6), every(3))
    position = next(at for at, nal in enumerate(stream[7]) if nal[0] == 6)
    stream[7][position] = stream[7][position][:-1] + b"\xc0"
    report = check(stream)
    assert report.verdict is not StreamVerdict.AUTHENTIC
    assert report.findings()
    alone = check(join(gops(4), lambda c, n, at: [sei([crypto(), chain(PEM), general(c, n, at), listed(n)], None)]))
    assert (alone.valid_gops, alone.verdict) == (0, StreamVerdict.NOT_AUTHENTIC)


@pytest.mark.parametrize("with_list", [True, False])
@pytest.mark.parametrize("picture", [6, 11])
def test_an_unsigned_sei_that_was_put_in_proves_nothing(picture: int, with_list: bool) -> None:
    """GOP 0 altered, and an SEI that says so, in a GOP that is signed: also behind everything that was signed in it."""

    def make(counter: int, hashed: list[bytes], linked: bytes) -> list[bytes]:
        records = [crypto(), chain(PEM), general(counter, hashed, linked), *([listed(hashed)] if with_list else [])]
        return [sei(records, SIGN if counter % 2 == 0 else None)]

    stream = join(gops(), make)
    stream[3][-1] = stream[3][-1][:-1] + b"\xab"
    hashed = gop_hashes(stream[:6])
    forged = sei([crypto(), chain(PEM), general(1, hashed, bytes(32)), listed(hashed)], None)
    stream[7] = stream[7][1:]  # the true one
    stream[picture].append(forged)
    report = check(stream)
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert report.verdicts[0].status is not GopStatus.VALID
    kept = check([*stream[:7], [sei([], None), *stream[7]], *stream[8:]])
    assert kept.verdicts[0].status is not GopStatus.VALID


@pytest.mark.parametrize("with_list", [True, False])
def test_an_unsigned_sei_behind_all_that_its_gop_signs_proves_nothing(with_list: bool) -> None:
    def make(counter: int, hashed: list[bytes], linked: bytes) -> list[bytes]:
        records = [crypto(), chain(PEM), general(counter, hashed, linked), *([listed(hashed)] if with_list else [])]
        return [sei(records, SIGN)] if counter != 1 else []

    stream = join(gops(), make)
    hashed = gop_hashes(stream[:6])
    stream[11].append(sei([crypto(), chain(PEM), general(1, hashed, bytes(32)), listed(hashed)], None))
    report = check(stream)
    assert [one.status is GopStatus.VALID for one in report.verdicts] == [False, False, True, True]
    assert report.verdicts[0].status is GopStatus.UNSIGNED


def test_the_librarys_last_sei_without_list_says_nothing_of_its_gop() -> None:
    """ONVIF's signer library ends a stream with the hash and number of the GOP before; without a list nothing else is there."""
    before: list[list[bytes]] = []

    def make(counter: int, hashed: list[bytes], linked: bytes) -> list[bytes]:
        before.append(hashed)
        return [sei([crypto(), chain(PEM), general(counter, before[-2] if counter == 4 else hashed, linked)], SIGN)]

    report = check(join(gops(), make))
    assert [one.status for one in report.verdicts] == [GopStatus.VALID] * 3 + [GopStatus.CANNOT_TELL]
    assert report.verdict is StreamVerdict.CANNOT_TELL


def test_arbitrary_data_is_signed_with_the_pictures() -> None:
    made = gops()
    for gop in made:
        gop[3].insert(0, sei([tlv(7, b"\x01\x00\x00\x01 position")], None))
    stream = join(made, maker())
    assert check(stream).verdict is StreamVerdict.AUTHENTIC
    gone = [list(nals) for nals in stream]
    del gone[9][0]
    assert check(gone).verdicts[1].status is GopStatus.ALTERED


def test_arbitrary_data_beside_other_records_is_not_authentic() -> None:
    report = check(join(gops(), maker(order=(4, 6, 1, 2, 9), extra=tlv(7, b"\x01x"))))
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert any("arbitrary data stands beside other records" in text for text in report.findings())


# --- what stays strict


@pytest.mark.parametrize(
    "records",
    [
        [crypto(), crypto(), chain(PEM)],
        [crypto(), chain(PEM), chain(PEM)],
        [tlv(0, b"x"), crypto(), chain(PEM)],
        [crypto(), chain(PEM), tlv(5, b"\x01\x01\xff\x00\x00")],
        [crypto(), tlv(6, b"\x01\x02" + PEM)],
        [tlv(4, b"\x02" + bytes((11,)) + SHA256_OID + bytes(3)), chain(PEM)],
    ],
)
def test_records_that_are_refused(records: list[bytes]) -> None:
    report = check(join(gops(), lambda c, n, at: [sei([*records, general(c, n, at)], SIGN)]))
    assert report.verdict is StreamVerdict.CANNOT_TELL
    assert report.problems()


def test_revision_of_the_signers_specification_is_read() -> None:
    made = join(gops(), maker())
    assert parse_sei(made[7][0]).general.revision == (24, 12, 0)
