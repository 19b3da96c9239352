"""The Merkle tree: known answers, and proofs that hold for what is true and for nothing else."""

from __future__ import annotations

import pytest

from firmware.custody import merkle
from firmware.errors import FormatError, IntegrityError

# The eight leaves of the Certificate Transparency reference tests, and the roots of their first n.
LEAVES = [
    bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [merkle.leaf_hash(one) for one in LEAVES]


def numbered(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(one).encode()) for one in range(count)]


def test_roots_are_those_of_certificate_transparency():
    """BWC-POL-29: a public tree, not one of our own."""
    assert [merkle.root_of(HASHES[:n]).hex() for n in range(9)] == ROOTS


def test_a_compact_tree_goes_on_from_its_hashes():
    tree = merkle.CompactTree()
    for count, digest in enumerate(numbered(70)):
        assert merkle.CompactTree(count, tree.hashes()).root() == merkle.root_of(numbered(70)[:count])
        tree.append(digest)
    before = tree.root()
    tree.copy().append(bytes(32))
    assert (tree.root(), tree.size) == (before, 70)


@pytest.mark.parametrize(("size", "edge"), [(3, 1), (0, 1), (-1, 0), (4, 2)])
def test_a_compact_tree_refuses_what_cannot_be(size, edge):
    with pytest.raises(FormatError):
        merkle.CompactTree(size, [bytes(32)] * edge)
    with pytest.raises(FormatError):
        merkle.CompactTree(1, [bytes(31)])


def test_every_consistency_proof_holds_and_no_other():
    """BWC-POL-29: a dock sees whether a ledger continues the one that it saw before."""
    hashes = numbered(20)
    roots = [merkle.root_of(hashes[:n]) for n in range(21)]
    for new in range(21):
        for old in range(new + 1):
            proof = merkle.consistency_proof(hashes, old, new)
            merkle.verify_consistency(old, roots[old], new, roots[new], proof)
            wrong = [(old, bytes(32), new, roots[new], proof), (old, roots[old], new, roots[new], (*proof, bytes(32)))]
            if old > 0:
                wrong.append((old, roots[old], new, bytes(32), proof))
            wrong += [(old, roots[old], new, roots[new], proof[:at] + proof[at + 1 :]) for at in range(len(proof))]
            wrong += [(old, roots[old], new, roots[new], (*proof[:at], bytes(32), *proof[at + 1 :])) for at in range(len(proof))]
            for one in wrong:
                with pytest.raises(IntegrityError):
                    merkle.verify_consistency(*one)


def test_a_rolled_back_ledger_is_called_by_name():
    with pytest.raises(IntegrityError, match="rolled back"):
        merkle.verify_consistency(5, bytes(32), 4, bytes(32), ())


def test_every_inclusion_proof_holds_and_no_other():
    hashes = numbered(20)
    for size in range(1, 21):
        root = merkle.root_of(hashes[:size])
        for index in range(size):
            proof = merkle.inclusion_proof(hashes, index, size)
            merkle.verify_inclusion(hashes[index], index, size, root, proof)
            wrong = [(hashes[index], index, size, root, (*proof, bytes(32))), (bytes(32), index, size, root, proof)]
            wrong += [(hashes[index], other, size, root, proof) for other in range(size + 1) if other != index]
            wrong += [(hashes[index], index, size, root, proof[:at] + proof[at + 1 :]) for at in range(len(proof))]
            for one in wrong:
                with pytest.raises(IntegrityError):
                    merkle.verify_inclusion(*one)


def test_proofs_are_asked_for_within_the_tree():
    for call in (
        lambda: merkle.inclusion_proof(HASHES, 8, 8),
        lambda: merkle.consistency_proof(HASHES, 3, 9),
        lambda: merkle.consistency_proof(HASHES, 4, 3),
    ):
        with pytest.raises(ValueError):
            call()


def test_a_leaf_cannot_pass_for_a_node():
    left, right = HASHES[0], HASHES[1]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
