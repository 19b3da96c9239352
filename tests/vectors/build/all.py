"""All vectors and the keys, as the files of ``tests/vectors/evidence``."""

from __future__ import annotations

from functools import cache

from tests.vectors.build import documents, ledger, people, policies, proofs, receipts, sealed, seis, signatures, streams
from tests.vectors.build.vector import Vector, named

MAX_BYTES = 2_000_000
SETS = {
    "sealed": sealed.vectors,
    "signature": signatures.vectors,
    "json": documents.json_vectors,
    "begin": documents.begin_vectors,
    "manifest": documents.manifest_vectors,
    "leaf": ledger.leaf_vectors,
    "log": ledger.log_vectors,
    "checkpoint": proofs.checkpoint_vectors,
    "cosignature": proofs.cosignature_vectors,
    "consistency": proofs.consistency_vectors,
    "inclusion": proofs.inclusion_vectors,
    "receipt": receipts.vectors,
    "policy": policies.vectors,
    "sei": seis.sei_vectors,
    "stream": streams.stream_vectors,
}


@cache
def files() -> dict[str, bytes]:
    """File name below ``evidence/`` to content."""
    vectors: dict[str, Vector] = {}
    for name, make in SETS.items():
        vectors |= named(name, make())
    made = {f"{name}.txt": one.text().encode("ascii") for name, one in vectors.items()}
    return made | {f"keys/{name}": data for name, data in people.key_files().items()}
