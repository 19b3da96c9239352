"""Detached signatures: CMS SignedData, and the chains that may stand behind one (RFC 5652, 5035, 5280)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from firmware.evidence import pki
from firmware.evidence.pki import Role
from tests.vectors.build import der, people
from tests.vectors.build.der import NULL, Node, integer, octets, oid, seq, set_of
from tests.vectors.build.people import NOW_NS, SERIAL, VALIDITY, Holder, agency, holder, stream
from tests.vectors.build.vector import Vector
from tools import pki as issuing

CONTENT = b'{"a":"document to be sworn to"}'
SIGNATURE, CERTIFICATE = "signature", "certificate"
SIGNED = (1, 0)
CERTIFICATES, SIGNERS, SIGNER = (*SIGNED, 3), (*SIGNED, 4), (*SIGNED, 4, 0)
ATTRIBUTES, VALUE = (*SIGNER, 3), (*SIGNER, 5)
DIGEST, TIME, CONTENT_TYPE = "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5", "1.2.840.113549.1.9.3"
ESS = "1.2.840.113549.1.9.16.2.47"
SHA256 = "2.16.840.1.101.3.4.2.1"
DAY_NS = 86_400 * 10**9


def vectors() -> Iterator[Vector]:
    yield from _good()
    yield from _not_der()
    yield from _structure()
    yield from _attributes()
    yield from _content()
    yield from _roles()
    yield from _chains()


def good(name: str, shows: str, data: bytes, **facts: str) -> Vector:
    found = bad(name, shows, data, "success", "", "", **facts)
    return replace(found, released=found.inputs["content"])


def bad(name: str, shows: str, data: bytes, expect: str, layer: str, reason: str, content: bytes = CONTENT, **facts: str) -> Vector:
    roots, role = facts.pop("root", "root.crt"), facts.pop("role", "camera")
    inputs = {"signature": data, "content": content}
    return Vector(
        f"signature/{name}", shows, "signature", inputs, expect, layer, reason, keys={"root": roots}, facts={"role": role, **facts}
    )


def genuine() -> bytes:
    return agency().camera.sign(CONTENT)


def changed(path: tuple[int, ...], change: Callable[[Node], Node | list[Node]]) -> bytes:
    return der.parse(genuine()).put(path, change).encode()


def resigned(change: Callable[[Node], Node], who: Holder | None = None) -> bytes:
    """Other signed attributes, and a good signature over them."""
    tree = der.parse(genuine()).put(ATTRIBUTES, change)
    signed = replace(tree.get(*ATTRIBUTES), tag=0x31).encode()
    return tree.put(VALUE, lambda n: octets(_sign((who or agency().camera).key, signed))).encode()


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def attribute(kind: str, *values: Node) -> Node:
    return seq(oid(kind), set_of(*values))


def with_attribute(kind: str, *values: Node) -> Callable[[Node], Node]:
    """The attribute of this kind replaced (by nothing, without values), or added."""

    def change(node: Node) -> Node:
        kept = [one for one in node.children if one.get(0) != oid(kind)]
        return replace(set_of(*kept, *([attribute(kind, *values)] if values else [])), tag=node.tag)

    return change


def _good() -> Iterator[Vector]:
    one = agency()
    yield good("camera", "a camera's signature", genuine())
    yield good("store", "a store's signature", one.store.sign(CONTENT), role="store")
    p384 = holder(one.device_ca, Role.CAMERA, SERIAL, 40, ec.SECP384R1())
    yield good("camera-p384", "a signer with a key on P-384, still over SHA-256", p384.sign(CONTENT))
    late = one.camera.sign(CONTENT, 2_529_000_000 * 10**9)
    yield good("generalized-time", "a signing time in 2050 is a GeneralizedTime (RFC 5652 11.3)", late)
    yield good(
        "clock-behind",
        "the signer's clock had never been set: judged at the leaf's first second",
        one.camera.sign(CONTENT, 0),
        clock="behind",
    )
    token = Node(0xA1, children=(attribute("1.2.840.113549.1.9.16.2.14", seq(integer(1))),))
    stamped = der.parse(genuine()).put(VALUE, lambda n: [n, token]).encode()
    yield good("unsigned-attribute", "a time stamp token that was added later", stamped)
    root = der.parse(pki.to_der(one.root.certificate))
    with_root = changed(CERTIFICATES, lambda n: replace(set_of(*n.children, root), tag=n.tag))
    yield good("root-inside", "the root among the certificates: not believed for being there", with_root)
    stranger = der.parse(pki.to_der(one.store.certificate))
    more = changed(CERTIFICATES, lambda n: replace(set_of(*n.children, stranger), tag=n.tag))
    yield good("stranger-inside", "a certificate that has nothing to do with it", more)
    yield good("digest-with-null", "NULL beside SHA-256 (RFC 5754 2 allows both)", changed((*SIGNER, 2), lambda n: seq(n.get(0), NULL)))
    r, s = utils.decode_dss_signature(der.parse(genuine()).get(*VALUE).data)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = utils.encode_dss_signature(r, order - s)
    shows = "ECDSA's twin (r, n - s): as good a signature, so nothing may be known by a signature's hash"
    yield good("twin-s", shows, changed(VALUE, lambda n: octets(twin)))


def _not_der() -> Iterator[Vector]:
    whole, root = genuine(), der.parse(genuine())
    twins = {
        "empty-input": ("nothing", b""),
        "trailing-byte": ("a byte behind the object", whole + b"\0"),
        "ber-indefinite": ("BER: the outer length is indefinite", replace(root, form="indefinite").encode()),
        "ber-long-length": ("BER: the outer length has a leading zero", replace(root, form="long").encode()),
        "ber-long-inside": ("BER: the signature's length in two bytes where one does", changed(VALUE, lambda n: replace(n, form="long"))),
        "attributes-unsorted": ("the signed attributes' SET is not in DER order", changed(ATTRIBUTES, _reversed)),
        "certificates-unsorted": ("the certificates' SET is not in DER order", changed(CERTIFICATES, _reversed)),
        "version-padded": ("the version as two bytes", changed((*SIGNED, 0), lambda n: Node(0x02, b"\0\3"))),
    }
    for name, (shows, data) in twins.items():
        yield bad(name, shows, data, "format", SIGNATURE, "DER")
    shows = "cut at places where an element or its contents begin"
    yield replace(bad("cut", shows, whole, "format", SIGNATURE, "DER"), cuts=der.boundaries(whole))


def _reversed(node: Node) -> Node:
    return replace(node, children=node.children[::-1])


def _structure() -> Iterator[Vector]:
    values = {
        "type-data": ("the content type of data", (0,), oid("1.2.840.113549.1.7.1"), "content type"),
        "inner-type": ("an inner content type other than data", (*SIGNED, 2, 0), oid("1.2.840.113549.1.7.2"), "inner content type"),
        "version": ("a SignedData of version 1", (*SIGNED, 0), integer(1), "versions"),
        "signer-version": ("a signer of version 1", (*SIGNER, 0), integer(1), "versions"),
        "digests-sha384": ("SHA-384 among the digests", (*SIGNED, 1, 0, 0), oid("2.16.840.1.101.3.4.2.2"), "digest algorithms"),
        "digests-empty": ("no digest algorithm named", (*SIGNED, 1), set_of(), "digest algorithms"),
        "digest-sha1": ("a signer with SHA-1", (*SIGNER, 2, 0), oid("1.3.14.3.2.26"), "digest algorithm"),
        "algorithm-sha384": ("ECDSA with SHA-384", (*SIGNER, 4, 0), oid("1.2.840.10045.4.3.3"), "signature algorithm"),
        "algorithm-rsa": ("RSA's name", (*SIGNER, 4, 0), oid("1.2.840.113549.1.1.11"), "signature algorithm"),
        "no-signer": ("no signer", SIGNERS, set_of(), "number of signers"),
    }
    for name, (shows, path, node, reason) in values.items():
        yield bad(name, shows, changed(path, lambda n, node=node: node), "format", SIGNATURE, reason)
    two = changed(SIGNERS, lambda n: set_of(n.get(0), n.get(0).put((4,), lambda one: seq(one.get(0), NULL))))
    yield bad("two-signers", "two signers: whose word is it", two, "format", SIGNATURE, "number of signers")
    attached = Node(0xA0, children=(octets(CONTENT),))
    yield bad(
        "attached",
        "the content inside, where another could be shown",
        changed((*SIGNED, 2), lambda n: seq(n.get(0), attached)),
        "format",
        SIGNATURE,
        "DER",
    )
    crls = Node(0xA1, children=(seq(),))
    yield bad("revocations", "revocation lists inside", changed(CERTIFICATES, lambda n: [n, crls]), "format", SIGNATURE, "DER")
    serial = seq(seq(), integer(10))
    yield bad(
        "signer-by-serial", "the signer by issuer and serial number", changed((*SIGNER, 1), lambda n: serial), "format", SIGNATURE, "DER"
    )
    yield bad("no-certificates", "no certificates field", changed(CERTIFICATES, lambda n: []), "format", SIGNATURE, "DER")
    empty = changed(CERTIFICATES, lambda n: Node(0xA0))
    yield bad("certificates-empty", "no certificate in the field", empty, "integrity", SIGNATURE, "not in the signature")
    other = changed((*SIGNER, 1), lambda n: replace(n, data=bytes(32)))
    yield bad("signer-unknown", "a key identifier that no certificate has", other, "integrity", SIGNATURE, "not in the signature")


def _attributes() -> Iterator[Vector]:
    missing = {"digest": DIGEST, "time": TIME, "content-type": CONTENT_TYPE, "certificate": ESS}
    for name, kind in missing.items():
        yield bad(
            f"no-{name}",
            f"the signed attribute {kind} is missing",
            resigned(with_attribute(kind)),
            "format",
            SIGNATURE,
            "signed attributes",
        )
    more = resigned(with_attribute("1.2.840.113549.1.9.15", seq()))
    yield bad(
        "attribute-more", "a signed attribute that is not known here (S/MIME capabilities)", more, "format", SIGNATURE, "signed attributes"
    )
    none = replace(der.parse(genuine()).get(*ATTRIBUTES), children=())
    yield bad("attributes-empty", "no signed attribute", resigned(lambda n: none), "format", SIGNATURE, "signed attributes")
    wrong = {
        "content-type-other": (CONTENT_TYPE, [oid("1.2.840.113549.1.7.2")], "format", "signed content type"),
        "digest-not-octets": (DIGEST, [integer(5)], "format", "unexpected value"),
        "digest-short": (DIGEST, [octets(bytes(20))], "integrity", "SHA-256 differs"),
        "digest-two": (DIGEST, [octets(bytes(32)), octets(bytes(31) + b"\1")], "format", "one value"),
        "time-no-seconds": (TIME, [Node(0x17, b"2611230814Z")], "format", "unexpected value"),
        "time-with-zone": (TIME, [Node(0x17, b"261123081447+0100")], "format", "unexpected value"),
        "time-no-date": (TIME, [Node(0x17, b"261323081447Z")], "format", "unexpected value"),
        "time-a-text": (TIME, [Node(0x0C, b"261123081447Z")], "format", "unexpected value"),
        "time-fraction": (TIME, [Node(0x18, b"20261123081447.5Z")], "format", "one form"),
        "time-generalized-early": (TIME, [Node(0x18, b"20261123081447Z")], "format", "one form"),
        "certificate-other": (ESS, [seq(seq(seq(octets(bytes(32)))))], "integrity", "not the one that was signed for"),
        "certificate-none": (ESS, [seq(seq())], "integrity", "not the one that was signed for"),
        "certificate-sha512": (ESS, [seq(seq(seq(seq(oid("2.16.840.1.101.3.4.2.3")), octets(bytes(64)))))], "format", "unexpected value"),
    }
    for name, (kind, values, expect, reason) in wrong.items():
        yield bad(
            name,
            f"the signed attribute {kind}: {name.replace('-', ' ')}",
            resigned(with_attribute(kind, *values)),
            expect,
            SIGNATURE,
            reason,
        )
    twice = resigned(lambda n: replace(set_of(*n.children, attribute(TIME, Node(0x17, b"260101000000Z"))), tag=n.tag))
    yield bad("time-twice", "two signing times in two attributes", twice, "format", SIGNATURE, "one value")


def _content() -> Iterator[Vector]:
    differs = ("integrity", SIGNATURE, "SHA-256 differs")
    yield bad("content-changed", "another content", genuine(), *differs, content=CONTENT.replace(b"sworn", b"sweat"))
    yield bad("content-newline", "a line feed behind the content", genuine(), *differs, content=CONTENT + b"\n")
    yield bad("content-empty", "no content", genuine(), *differs, content=b"")
    unfit = ("integrity", SIGNATURE, "does not fit")
    yield bad(
        "value-flipped",
        "a bit of the signature flipped",
        changed(VALUE, lambda n: replace(n, data=n.data[:-1] + bytes((n.data[-1] ^ 1,)))),
        *unfit,
    )
    yield bad("value-empty", "no signature value", changed(VALUE, lambda n: octets(b"")), *unfit)
    yield bad("value-raw", "r and s without their structure", changed(VALUE, lambda n: octets(_raw(n.data))), *unfit)
    yield bad("value-zero", "r and s are 0", changed(VALUE, lambda n: octets(seq(integer(0), integer(0)).encode())), *unfit)
    loose = changed(VALUE, lambda n: octets(replace(der.parse(n.data), form="long").encode()))
    yield bad("value-ber", "BER inside the signature value", loose, *unfit)
    yield bad("wrong-key", "signed by another key than the certificate's", resigned(lambda n: n, agency().store), *unfit)
    over = der.parse(genuine())
    implicit = _sign(agency().camera.key, over.get(*ATTRIBUTES).encode())
    shows = "signed over the attributes as they stand, [0], instead of as a SET (RFC 5652 5.4)"
    yield bad("implicit-tag-signed", shows, over.put(VALUE, lambda n: octets(implicit)).encode(), *unfit)


def _raw(value: bytes) -> bytes:
    r, s = utils.decode_dss_signature(value)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _roles() -> Iterator[Vector]:
    one = agency()
    yield bad(
        "store-as-camera",
        "a store signs what only a camera may",
        one.store.sign(CONTENT),
        "integrity",
        CERTIFICATE,
        "expected the role 'camera'",
    )
    yield bad(
        "camera-as-store", "a camera signs its own receipt", genuine(), "integrity", CERTIFICATE, "expected the role 'store'", role="store"
    )
    dock = holder(one.dock_ca, Role.DOCK, "dock-1", 41)
    yield bad(
        "dock-as-store",
        "a dock's TLS key signs a receipt",
        dock.sign(CONTENT),
        "integrity",
        CERTIFICATE,
        "expected the role 'store'",
        role="store",
    )
    link = holder(one.dock_ca, Role.CAMERA_LINK, SERIAL, 42)
    yield bad(
        "link-as-camera",
        "the camera's TLS key signs as the camera",
        link.sign(CONTENT),
        "integrity",
        CERTIFICATE,
        "expected the role 'camera'",
    )
    authority = Holder(one.device_ca.private_key, one.device_ca.certificate, (pki.to_der(one.device_ca.certificate),))
    yield bad(
        "authority-signs",
        "the camera authority signs a document",
        authority.sign(CONTENT),
        "integrity",
        CERTIFICATE,
        "expected the role 'camera'",
    )
    crossed = _leaf(one.dock_ca, ou="camera", name=SERIAL)
    yield bad(
        "role-crossed",
        "a camera that the dock authority issued",
        crossed.sign(CONTENT),
        "integrity",
        CERTIFICATE,
        "to be issued by 'Device CA'",
    )
    unknown = _leaf(one.device_ca, ou="chief", name=SERIAL)
    yield bad("role-unknown", "a role that nobody knows", unknown.sign(CONTENT), "integrity", CERTIFICATE, "names a role")
    nameless = _leaf(one.device_ca, ou=None, name=SERIAL)
    yield bad("role-absent", "a certificate without a role", nameless.sign(CONTENT), "format", CERTIFICATE, "exactly one OU")


def _chains() -> Iterator[Vector]:
    one, other = agency(), agency("Other Agency")
    unfit = ("integrity", CERTIFICATE)
    no_root = ("unavailable", CERTIFICATE, "no root certificate given")
    yield bad("other-agency", "another agency's camera", other.camera.sign(CONTENT), *no_root)
    yield bad("other-root", "our camera before another agency's root", genuine(), *no_root, root="other-root.crt")
    forged = people.likeness().camera.sign(CONTENT)
    yield bad("same-name", "an agency of the same name with other keys", forged, *unfit, "not signed by the key of its issuer")
    alone = changed(CERTIFICATES, lambda n: replace(n, children=tuple(c for c in n.children if c.encode() == one.camera.chain[0])))
    yield bad("no-intermediate", "without the camera authority's certificate", alone, *no_root)
    selfish = _leaf(issuing.Authority(one.device_ca.certificate, stream_key("selfish")), ou="camera", name=SERIAL)
    yield bad(
        "issuer-forged",
        "a leaf in the authority's name that its key did not sign",
        selfish.sign(CONTENT),
        *unfit,
        "not signed by the key of its issuer",
    )
    end = VALIDITY.start_ns + VALIDITY.days * 86_400 * 10**9
    yield good("last-second", "signed in the last second of the chain", one.camera.sign(CONTENT, end))
    yield bad("expired", "signed a second after the chain expired", one.camera.sign(CONTENT, end + 10**9), *unfit, "is valid from")
    short = _leaf(one.device_ca, "camera", SERIAL, days=30)
    yield bad(
        "leaf-expired",
        "a leaf that had expired when it signed, under a valid authority",
        short.sign(CONTENT),
        *unfit,
        "the 'camera' certificate is valid from",
    )
    yield good(
        "leaf-expired-since",
        "a leaf that has expired since: what it signed stays signed",
        short.sign(CONTENT, VALIDITY.start_ns + 10 * DAY_NS),
    )
    young = issuing.make_authority(
        one.root, Role.DEVICE_CA, stream_key("young authority"), 43, issuing.Validity(NOW_NS + 365 * DAY_NS, 3650)
    )
    early = Holder((early_leaf := _leaf(young, "camera", SERIAL)).key, early_leaf.certificate, early_leaf.chain)
    yield bad(
        "authority-too-young",
        "an authority that did not exist yet",
        early.sign(CONTENT),
        *unfit,
        "the 'Device CA' certificate is valid from",
    )
    yield from _constraints()


def _constraints() -> Iterator[Vector]:
    one = agency()
    unfit = ("integrity", CERTIFICATE)
    mute = _leaf(one.device_ca, "camera", SERIAL, may_sign=False)
    yield bad("usage-none", "a leaf that may not sign (key usage)", mute.sign(CONTENT), *unfit, "may not sign")
    mighty = _leaf(one.device_ca, "camera", SERIAL, authority=True)
    yield bad("leaf-is-authority", "a leaf that is an authority", mighty.sign(CONTENT), *unfit, "expected a leaf")
    critical = _leaf(
        one.device_ca, "camera", SERIAL, extension=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\5\0")
    )
    yield bad("critical-unknown", "a critical extension that nobody knows here", critical.sign(CONTENT), *unfit, "not understood")
    weak = _authority(one.root, may_certify=False)
    yield bad(
        "authority-may-not",
        "an authority that may not certify (key usage)",
        _leaf(weak, "camera", SERIAL).sign(CONTENT),
        *unfit,
        "not one of an authority",
    )
    none = _authority(one.root, authority=False)
    yield bad(
        "authority-is-none",
        "an authority whose basic constraints say that it is none",
        _leaf(none, "camera", SERIAL).sign(CONTENT),
        *unfit,
        "not one of an authority",
    )
    key = ed25519.Ed25519PrivateKey.from_private_bytes(stream("ed25519 camera")(32))
    certificate = _certificate(one.device_ca, "camera", SERIAL, key.public_key())
    shows = "a leaf with an Ed25519 key, under an ECDSA signature"
    yield bad(
        "key-ed25519",
        shows,
        Holder(one.camera.key, certificate, (pki.to_der(certificate), one.camera.chain[1])).sign(CONTENT),
        "integrity",
        SIGNATURE,
        "EC key on P-256 or P-384",
    )
    scalar = int.from_bytes(stream("p521 camera")(64), "big")
    large = _leaf(one.device_ca, "camera", SERIAL, key=ec.derive_private_key(scalar, ec.SECP521R1()))
    yield bad("key-p521", "a leaf with a key on P-521", large.sign(CONTENT), "integrity", SIGNATURE, "EC key on P-256 or P-384")


def stream_key(seed: str) -> ec.EllipticCurvePrivateKey:
    return issuing.new_key(stream(seed))


def _leaf(issuer: issuing.Authority, ou: str | None, name: str, key: ec.EllipticCurvePrivateKey | None = None, **changes) -> Holder:
    chosen = key or stream_key(f"leaf {ou} {name} {sorted(map(str, changes))}")
    certificate = _certificate(issuer, ou, name, chosen.public_key(), **changes)
    return Holder(chosen, certificate, (pki.to_der(certificate), pki.to_der(issuer.certificate)))


def _authority(root: issuing.Authority, **changes) -> issuing.Authority:
    key = stream_key(f"authority {sorted(changes)}")
    settings = {"authority": True, "may_certify": True, "may_sign": False, **changes}
    return issuing.Authority(_certificate(root, "Device CA", "Device CA", key.public_key(), **settings), key)


def _certificate(
    issuer: issuing.Authority,
    ou: str | None,
    name: str,
    public,
    *,
    start_ns: int = VALIDITY.start_ns,
    days: int = VALIDITY.days,
    may_sign: bool = True,
    authority: bool = False,
    may_certify: bool = False,
    extension: x509.ExtensionType | None = None,
) -> x509.Certificate:
    """What ``tools.pki`` refuses to issue."""
    parts: Sequence[tuple[x509.ObjectIdentifier, str | None]] = (
        (x509.NameOID.ORGANIZATION_NAME, issuer.agency), (x509.NameOID.ORGANIZATIONAL_UNIT_NAME, ou), (x509.NameOID.COMMON_NAME, name),
    )  # fmt: skip
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only"),
        False,
    )
    start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=start_ns // 10**9)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(kind, text) for kind, text in parts if text]))
        .issuer_name(issuer.certificate.subject)
        .public_key(public)
        .serial_number(99)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=may_sign, key_cert_sign=may_certify, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(issuing._key_identifier(public)), critical=False)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer.private_key, hashes.SHA256(), ecdsa_deterministic=True)
