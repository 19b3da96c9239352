"""The ledger's Merkle tree: RFC 9162 hashing and proofs, over SHA-256.

Responsible for arithmetic on leaf hashes: roots, consistency proofs, inclusion proofs, and a compact tree that appends in
O(log n). Refuses to know what a leaf says, who signs a root and where hashes are kept.

Invariants: a leaf is hashed as H(0x00 ‖ leaf) and a node as H(0x01 ‖ left ‖ right), so neither can pass for the other;
``verify_*`` returns nothing and raises :class:`IntegrityError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from firmware.errors import FormatError, IntegrityError

LAYER = "ledger"
HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """H(0x00 ‖ leaf), 32 bytes (RFC 9162 §2.1.1)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """H(0x01 ‖ left ‖ right), 32 bytes."""
    return hashlib.sha256(b"\1" + left + right).digest()


class CompactTree:
    """The right edge of a tree: as many hashes as its size has one bits. Appending never needs an older leaf."""

    __slots__ = ("_edge", "_size")

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        """``edge`` as :meth:`hashes` gave it for ``size``; ``FormatError`` when the two do not fit together."""
        if size < 0 or len(edge) != size.bit_count() or any(len(one) != HASH_BYTES for one in edge):
            raise FormatError(LAYER, f"expected {max(size, 0).bit_count()} hashes for a tree of size {size}, got {len(edge)}")
        self._size = size
        self._edge = list(edge)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first: with :attr:`size`, all that is needed to go on."""
        return tuple(self._edge)

    def copy(self) -> CompactTree:
        return CompactTree(self._size, self._edge)

    def grown(self, digests: Sequence[bytes]) -> CompactTree:
        """Another tree, with these leaf hashes appended."""
        tree = self.copy()
        for digest in digests:
            tree.append(digest)
        return tree

    def append(self, digest: bytes) -> None:
        """Append a leaf by its :func:`leaf_hash`."""
        remaining = self._size
        while remaining & 1:
            digest = node_hash(self._edge.pop(), digest)
            remaining >>= 1
        self._edge.append(digest)
        self._size += 1

    def root(self) -> bytes:
        """The tree's root, 32 bytes; of the empty tree, H("")."""
        if not self._edge:
            return EMPTY_ROOT
        digest = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            digest = node_hash(left, digest)
        return digest


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    return CompactTree().grown(hashes).root()


def inclusion_proof(hashes: Sequence[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """PATH(index, D[0:size]) (RFC 9162 §2.1.3.1), over leaf hashes. ``ValueError`` when out of range."""
    if not 0 <= index < size <= len(hashes):
        raise ValueError(f"expected 0 <= index < size <= {len(hashes)}, got index {index}, size {size}")
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(root_of(hashes[middle:high]))
            high = middle
        else:
            proof.append(root_of(hashes[low:middle]))
            low = middle
    return tuple(reversed(proof))


def verify_inclusion(digest: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """``IntegrityError`` unless the leaf hash stands at ``index`` in the tree (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        raise IntegrityError(LAYER, f"expected an index below {size}, got {index}")
    node, last, computed = index, size - 1, digest
    for other in proof:
        if last == 0:
            raise IntegrityError(LAYER, "the inclusion proof is too long")
        if node & 1 or node == last:
            computed = node_hash(other, computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, other)
        node, last = node >> 1, last >> 1
    if last or computed != root:
        raise IntegrityError(LAYER, f"leaf {index} is not in the tree of size {size}")


def consistency_proof(hashes: Sequence[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """PROOF(old, D[0:new]) (RFC 9162 §2.1.4.1), over leaf hashes; empty when ``old`` is 0 or equals ``new``."""
    if not 0 <= old <= new <= len(hashes):
        raise ValueError(f"expected 0 <= old <= new <= {len(hashes)}, got {old} and {new}")
    if old in (0, new):
        return ()
    proof: list[bytes] = []
    low, high, whole = 0, new, True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(root_of(hashes[middle:high]))
            high = middle
        else:
            proof.append(root_of(hashes[low:middle]))
            low, whole = middle, False
    if not whole:
        proof.append(root_of(hashes[low:high]))
    return tuple(reversed(proof))


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """``IntegrityError`` unless the tree of ``old_size`` is a prefix of that of ``new_size`` (RFC 9162 §2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        raise IntegrityError(LAYER, f"a ledger of {new_size} leaves cannot continue one of {old_size}: it was rolled back")
    if old_size in (0, new_size):
        fits = old_root == (EMPTY_ROOT if old_size == 0 else new_root)
        if proof or not fits:
            raise IntegrityError(LAYER, f"the ledger at size {old_size} is not the one that was seen before")
        return
    _verify_growth(old_size, old_root, new_size, new_root, proof)


def _verify_growth(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise IntegrityError(LAYER, "the consistency proof is empty")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_computed = new_computed = path[0]
    for other in path[1:]:
        if last == 0:
            raise IntegrityError(LAYER, "the consistency proof is too long")
        if node & 1 or node == last:
            old_computed, new_computed = node_hash(other, old_computed), node_hash(other, new_computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new_computed = node_hash(new_computed, other)
        node, last = node >> 1, last >> 1
    if last or old_computed != old_root or new_computed != new_root:
        raise IntegrityError(LAYER, f"the ledger of {new_size} leaves does not continue the one of {old_size} that was seen before")


def _split(size: int) -> int:
    """The largest power of two smaller than ``size`` (size > 1)."""
    return 1 << (size - 1).bit_length() - 1
