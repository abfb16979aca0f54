"""nDCG@10 of ColBERT, of cross-encoders on its 20 best hits, and of both together, on the validation pools.

    python scripts/cross_encoder/validate.py MODEL ... --work work --indexes pools --out validation.jsonl

The share of the cross-encoder that docs/pipelines.md suggests is chosen here. Queries that were looked at
while training are left out. PubMedQA and COVID-QA are trained on by nobody. Without a model only the indexes
are made.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from cross_encoder.groups import QUERIES, read_lines
from cross_encoder.reranking import ALONE, METRICS, Reader, Values, mean, measured, opened

WEIGHTS = (0.25, 0.5, 0.75, ALONE)


def judged(pool: dict, most: int) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Queries that were not looked at while training, and the document of each."""
    chosen = range(QUERIES, min(QUERIES + most, len(pool["queries"])))
    queries = {f"q{row}": pool["queries"][row] for row in chosen}
    return queries, {f"q{row}": {f"d{pool['relevant'][row]}": 1} for row in chosen}


def show(name: str, sources: dict[str, Values]) -> None:
    """One line of figures."""
    figures = {source: mean(values["ndcg@10"]) for source, values in sources.items()}
    figures["mean"] = float(np.mean(list(figures.values())))
    print(f"{name:14}", *(f"{source}={value:.4f}" for source, value in figures.items()), flush=True)


def main() -> None:
    """A line for each model and weight."""
    parser = argparse.ArgumentParser(description="Validate cross-encoders.")
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where validation.jsonl is")
    parser.add_argument(
        "--indexes", type=Path, required=True, help="where an index of each pool is, or is made"
    )
    parser.add_argument("--queries", type=int, default=25, help="of each source")
    parser.add_argument("--sources", nargs="*", help="of the pools; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a line of JSON for each model")
    options = parser.parse_args()
    pools = list(read_lines(options.work / "validation.jsonl"))
    pools = [pool for pool in pools if not options.sources or pool["source"] in options.sources]
    indexes = {}
    for pool in pools:
        ids = [f"d{row}" for row in range(len(pool["documents"]))]
        folder = options.indexes / pool["source"]
        indexes[pool["source"]] = opened(folder, pool["documents"], ids, options.threads)
    for model in options.models:
        reader = Reader(model, options.threads)
        found: dict[str, dict[str, Values]] = {}
        for pool in pools:
            values = measured(indexes[pool["source"]], reader, WEIGHTS, *judged(pool, options.queries))
            for name, each in values.items():
                found.setdefault(name, {})[pool["source"]] = each
        print(f"{model}: {reader.pairs} pairs, {1000 * reader.seconds / reader.pairs:.1f} ms each")
        for name, sources in found.items():
            show(name, sources)
        if options.out:
            means = {
                name: {
                    source: {m: round(mean(values[m]), 4) for m in METRICS} for source, values in each.items()
                }
                for name, each in found.items()
            }
            with options.out.open("a") as out:
                print(
                    json.dumps({"model": str(model), "queries": options.queries, "values": means}), file=out
                )


if __name__ == "__main__":
    main()
