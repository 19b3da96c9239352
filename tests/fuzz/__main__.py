"""One target under atheris, led by coverage: ``python -m tests.fuzz NAME RUNS`` (`make fuzz` runs them all).

The corpus lies in ``.cache/fuzz/NAME`` and grows from run to run; an input that breaks the invariant is left beside it. Without
atheris (it is published for Linux on x86-64) the same number of runs comes from the mutator.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import warnings
from pathlib import Path

from tests.fuzz.mutator import inputs

CORPUS = Path(__file__).resolve().parents[2] / ".cache" / "fuzz"


def main(name: str, runs: int) -> None:
    try:
        import atheris
    except ImportError:
        module = importlib.import_module(f"tests.fuzz.fuzz_{name}")
        for data in inputs(module.SEEDS, runs):
            module.target(data)
        return
    with atheris.instrument_imports(include=["firmware", "hal", "tools.dock"]):
        module = importlib.import_module(f"tests.fuzz.fuzz_{name}")
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in module.SEEDS:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = [f"-runs={runs}", "-max_len=16384", "-timeout=20", "-print_final_stats=0", f"-artifact_prefix={CORPUS}/{name}-"]
    warnings.simplefilter("ignore")  # of the certificate parser, about certificates
    atheris.Setup([name, *options, str(corpus)], module.target)
    atheris.Fuzz()


main(sys.argv[1], int(sys.argv[2]))
