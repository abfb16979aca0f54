"""BM25, bi-encoder, ColBERT and cascades on test collections: `python benchmarks/compare.py DATA`.

DATA holds `eval/NAME/` in BEIR's form. Every collection is what `plait compare` makes of it, with one result
line for each method. Takes half an hour of one core with the built-in model. To run it, keep the lines in
results/compare.jsonl and fill tables and charts: `make bench DATA=... ONLY=compare`.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measure

import plait

COLLECTIONS = ("cranfield", "nfcorpus", "scifact", "msmarco-dl")


def lines(folder: Path, options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """One for each method."""
    report = plait.compare(
        folder,
        cross_encoder=options.cross_encoder,
        exact=True,
        threads=1,
        work=work / folder.name,
        skip_bad_lines=True,  # Cranfield has two empty documents
    )
    facts = {
        "collection": report.name,
        "documents": report.ndocs,
        "queries": len(report.queries),
        "encoder": report.encoder,
        "cross_encoder": report.cross_encoder,
        "k": report.k,
        "baseline": report.baseline,
        "texts_per_document": round(report.texts_per_document),
    }
    return [
        {
            "method": method.name,
            "params": {"pipeline": method.pipeline},
            **facts,
            "values": rounded(method.values, 4),
            "tests": {
                one.metric: rounded(
                    {name: getattr(one, name) for name in ("difference", "low", "high", "p", "p_holm")}, 5
                )
                for one in report.comparisons.get(method.name, ())
            },
            "latency_ms": rounded(asdict(method.latency), 3),
            "stages_ms": rounded(method.stages, 3),
            "qps": round(method.queries_per_second, 1),
            "bytes_per_document": round(method.bytes_per_document),
            "build_cpu_s": round(method.build_cpu_seconds or 0, 1),
        }
        for method in report.methods
    ]


def rounded(figures: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in figures.items()}


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--cross-encoder", help="folder of one")
    parser.add_argument("--work", type=Path, help="keep indexes and results here, and use what is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.collections:
            for line in lines(options.data / "eval" / name, options, options.work or Path(temporary)):
                measure.emit("compare", "plait", **line)


if __name__ == "__main__":
    main()
