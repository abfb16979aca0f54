r"""Rivals on the same vectors, each in its own environment, one after the other.

    python benchmarks/run_rivals.py VECTORS --python fast-plaid=ENV/bin/python --python colbert-ai=... \
        [--python xtr-warp-rs=...] [--index-folder FOLDER]

VECTORS is what benchmarks/vectors.py made. How the environments are made:

    fast-plaid, xtr-warp-rs   pip install fast-plaid==1.7.0.2110 torch==2.11.0 xtr-warp-rs==2.1.0.2110
    colbert-ai                pip install torch==2.13.0 colbert-ai==0.2.22 faiss-cpu 'transformers<4.56' \
                                  'setuptools<80' ninja      (and a C++ compiler: it compiles at first use)

Recall is the overlap with the best k of exact f32 MaxSim over all documents, for 50 of the 200 queries, 32
tokens each; times are CPU time of the process with one thread. An index that is there is not built again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import measure  # first: keeps everything to one thread
from exact import exact
from vectors import VectorSet

HERE = Path(__file__).resolve().parent
SCRIPTS = {"fast-plaid": "fast_plaid.py", "colbert-ai": "colbert_ai.py", "xtr-warp-rs": "xtr_warp.py"}


def run(python: str, engine: str, stage: str, vectors: Path, index: Path, queries: int) -> None:
    # -P: the scripts are named after the packages they import. PYTHONPATH: measure.py, vectors.py, rival.py.
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    environment["PATH"] = f"{Path(python).absolute().parent}{os.pathsep}{environment['PATH']}"  # ninja
    command = [python, "-P", str(HERE / "rivals" / SCRIPTS[engine]), stage, str(vectors), str(index)]
    command += ["--queries", str(queries)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        if line.startswith('{"benchmark"'):  # the rivals print too
            print(line, flush=True)
    if done.returncode:
        print(f"{engine} {stage}: exit status {done.returncode}", file=sys.stderr)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--python", action="append", required=True, metavar="ENGINE=PATH")
    parser.add_argument("--index-folder", type=Path, help="VECTORS/rivals by default")
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()
    folder = options.index_folder or options.vectors / "rivals"
    exact(VectorSet(options.vectors), "padded")
    for entry in options.python:
        engine, python = entry.split("=", 1)
        index = folder / engine
        if not index.exists():
            run(python, engine, "build", options.vectors, index, options.queries)
        run(python, engine, "search", options.vectors, index, options.queries)


if __name__ == "__main__":
    main()
