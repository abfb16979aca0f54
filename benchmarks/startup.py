"""From nothing to the first hits: `python benchmarks/startup.py [VECTORS] [--weight]`.

Each figure is the median of 10 fresh processes. "process" is all CPU time of the process up to that point,
the interpreter's own start included. With VECTORS (see vectors.py) the first query is asked of that index, by
token vectors; always of a small index of texts, encoded with the built-in model. --weight makes a fresh
environment with scripts/weight.sh and reports the megabytes in its site-packages.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import measure
from vectors import VectorSet

import plait

TIMES = 10
START = "import time; began = time.process_time(), time.perf_counter()\n"
STOP = """
import json
now = time.process_time()
print(json.dumps({"cpu_ms": (now - began[0]) * 1e3, "wall_ms": (time.perf_counter() - began[1]) * 1e3,
                  "process_cpu_ms": now * 1e3}))
"""
IMPORT = "import plait"
BY_VECTORS = """
import sys, numpy, plait
plait.Index.open(sys.argv[1]).search(numpy.load(sys.argv[2]), 10, threads=1)
"""
BY_TEXT = """
import sys, plait
plait.Index.open(sys.argv[1]).search("what is a neutron star made of?", 10, threads=1)
"""
TEXTS = [
    "A neutron star is the collapsed core of a massive star.",
    "Bread is made of flour, water and yeast.",
]


def in_fresh_processes(code: str, *arguments: Path) -> dict[str, float]:
    """Median milliseconds of a script."""
    command = [sys.executable, "-c", START + code + STOP, *map(str, arguments)]
    lines = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for _ in range(TIMES)
    ]
    return {name: round(median(line[name] for line in lines), 2) for name in lines[0]}


def emit(what: str, **facts: Any) -> None:
    measure.emit("startup", "plait", params={"what": what, "processes": TIMES}, **facts)


def by_vectors(source: VectorSet, folder: Path) -> None:
    index = plait.Index.create(folder / "vectors", dim=source.embeddings.shape[1])
    index.add(source.texts(), vectors=plait.TokenEmbeddings(source.embeddings, source.doclens))
    query = folder / "query.npy"
    measure.np.save(query, source.queries("padded")[0])
    emit(
        "open, first query of vectors",
        **source.facts(),
        **in_fresh_processes(BY_VECTORS, folder / "vectors", query),
    )


def by_text(folder: Path) -> None:
    plait.Index.create(folder / "texts").add(TEXTS)
    emit("open, first query of text", documents=2, **in_fresh_processes(BY_TEXT, folder / "texts"))


def weight() -> None:
    script = Path(__file__).resolve().parent.parent / "scripts" / "weight.sh"
    output = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout
    parts = [(name, int(size)) for size, name in re.findall(r"^(\d+)\t(\S+)$", output, re.MULTILINE)]
    total = re.search(r"^(\d+) MB in all", output, re.MULTILINE)
    measure.emit(
        "weight",
        "plait",
        params={},
        site_packages_mb=int(total[1]) if total else None,
        largest=dict(parts[:8]),
    )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path, nargs="?")
    parser.add_argument("--weight", action="store_true")
    options = parser.parse_args()
    emit("import plait", **in_fresh_processes(IMPORT))
    with tempfile.TemporaryDirectory() as folder:
        by_text(Path(folder))
        if options.vectors:
            by_vectors(VectorSet(options.vectors), Path(folder))
    if options.weight:
        weight()


if __name__ == "__main__":
    main()
