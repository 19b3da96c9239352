"""A camera's own key in somebody's hands, and the leaves of a card."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from firmware.custody.checkpoint import Checkpoint, checkpoint_line, cosign, signed_note
from firmware.custody.merkle import CompactTree, leaf_hash

SEED = bytes(range(32))
"""Of the witness "dock"."""


class Camera:
    """The camera's own key: what somebody who got hold of it, or the camera itself after its card was put back, would sign."""

    def __init__(self, bench) -> None:
        key = next(path for path in bench.config.key_directory.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes())
        self._key = load_pem_private_key(key.read_bytes(), None)
        self.origin = f"oathcam/{bench.config.serial}"

    def log(self, leaves: list[bytes], batches: list[int] | None = None) -> bytes:
        """A ledger file of these leaves with a signed line after each of ``batches`` sizes."""
        tree, out = CompactTree(), b""
        for leaf in leaves:
            tree.append(leaf_hash(leaf))
            out += leaf + b"\n"
            if tree.size in (batches or [len(leaves)]):
                out += self.line(tree)
        return out

    def line(self, tree: CompactTree) -> bytes:
        checkpoint = Checkpoint(self.origin, tree.size, tree.root())
        return checkpoint_line(checkpoint, self._sign(checkpoint.text()))

    def note(self, leaves: list[bytes]) -> bytes:
        """A checkpoint over the leaves, signed and cosigned by the witness "dock"."""
        tree = CompactTree()
        for leaf in leaves:
            tree.append(leaf_hash(leaf))
        text = Checkpoint(self.origin, tree.size, tree.root()).text()
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return signed_note(text, self.origin, spki, self._sign(text)) + cosign(text, "dock", 1_800_000_000, SEED)

    def _sign(self, text: bytes) -> bytes:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(text)
        return self._key.sign(digest.finalize(), ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def leaves_of(card: Path) -> list[bytes]:
    return [line for line in (card / "ledger/log").read_bytes().split(b"\n") if line.startswith(b"{")]
