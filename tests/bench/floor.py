"""What the formats ask for and nothing else, on the same footage: the least that any evidence path of this format can cost.

    python floor.py FOOTAGE ROUNDS DIRECTORY

Each part is the library's own call, on bytes that are in memory already; start and imports are not counted. ``bytes``: per fragment one
SHA-256 of each picture, of the fragment and of the sealed fragment, AES-256-GCM, one copy for the container and one for the sealed
object, one write. ``whole``: that, and a key agreement for each of two recipients, two signatures, and an fsync for fragment and ledger.
No start codes, no container, no CMS, no ledger, no papers, no pictures from anywhere. Prints CPU seconds as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from tests.bench.footage import FPS, Span

RECIPIENTS, SIGNATURES = 2, 2


def of_bytes(pictures: list[bytes], file: int) -> bytes:
    """Three passes, one cipher, two copies, one write; returns the last pass's hash."""
    for picture in pictures:
        sha256(picture).digest()
    plain = b"".join(pictures)
    sha256(plain).digest()
    cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.GCM(os.urandom(12))).encryptor()
    sealed = b"".join((cipher.update(plain), cipher.finalize(), cipher.tag))
    os.write(file, sealed)
    return sha256(sealed).digest()


def of_keys(digest: bytes, key: ec.EllipticCurvePrivateKey, recipients: list[ec.EllipticCurvePublicKey]) -> None:
    for recipient in recipients:
        shared = ec.generate_private_key(ec.SECP256R1()).exchange(ec.ECDH(), recipient)
        aes_key_wrap(X963KDF(SHA256(), 32, None).derive(shared), bytes(32))
    for _ in range(SIGNATURES):
        key.sign(digest, ec.ECDSA(Prehashed(SHA256())))


def main(annexb: str, rounds: str, directory: str) -> None:
    whole = Path(annexb).read_bytes()
    spans = [Span(*fields) for fields in json.loads(Path(annexb).with_suffix(".json").read_text())]
    pictures = [whole[span.offset : span.offset + span.size] for span in spans]
    fragments = [pictures[first : first + FPS] for first in range(0, len(pictures), FPS)]
    key = ec.generate_private_key(ec.SECP256R1())
    recipients = [ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(RECIPIENTS)]
    log = os.open(Path(directory) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    bytes_s = keys_s = 0.0
    for number, fragment in enumerate(fragments * int(rounds)):
        file = os.open(Path(directory) / str(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        before = time.process_time()
        digest = of_bytes(fragment, file)
        between = time.process_time()
        of_keys(digest, key, recipients)
        os.fsync(file)
        os.write(log, digest)
        os.fsync(log)
        keys_s += time.process_time() - between
        bytes_s += between - before
        os.close(file)
    json.dump({"bytes": bytes_s, "whole": bytes_s + keys_s}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
