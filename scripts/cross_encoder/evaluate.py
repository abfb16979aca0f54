"""The evaluation sets, for the final look: ColBERT, the cross-encoder on its 20 best hits, both together.

    python scripts/cross_encoder/evaluate.py MODEL --weight 0.5 --sets data/eval/cranfield ... \
        --indexes work/sets --kept work/kept --out evaluation.jsonl

Nothing is chosen by what it prints. Tests are paired, against ColBERT: a randomisation test, corrected for
two systems (Holm), and a bootstrap interval of the difference.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from cross_encoder.reranking import ALONE, METRICS, Reader, mean, measured, opened

from plait.evaluate import compare_with_baseline, judged_queries, read_qrels
from plait.sources import read_documents, read_queries


def main() -> None:
    """A line for each set."""
    parser = argparse.ArgumentParser(description="Measure a cross-encoder on evaluation sets.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--weight", type=float, required=True, help="as chosen in validation")
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--indexes", type=Path, required=True, help="where an index of each is, or is made")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=Path, required=True, help="folder of scores of pairs")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for folder in options.sets:
        documents = list(read_documents(folder, skip_bad_lines=True))
        qrels = read_qrels(folder)
        queries = judged_queries(read_queries(folder), qrels)
        index = opened(
            options.indexes / folder.name,
            [document.text or "" for document in documents],
            [document.id for document in documents],
            options.threads,
        )
        options.kept.mkdir(parents=True, exist_ok=True)
        reader = Reader(options.model, options.threads, options.kept / f"{folder.name}.jsonl")
        values = measured(index, reader, (options.weight, ALONE), queries, qrels)
        line = {
            "set": folder.name,
            "model": reader.model.name,
            "encoder": index.stats().encoder,
            "weight": options.weight,
            "queries": len(queries),
            "pairs": reader.pairs,
            "means": {name: {m: round(mean(each[m]), 4) for m in METRICS} for name, each in values.items()},
            "tests": {
                name: [asdict(test) for test in tests]
                for name, tests in compare_with_baseline(values, "colbert").items()
            },
        }
        with options.out.open("a") as out:
            print(json.dumps(line), file=out)
        print({key: value for key, value in line.items() if key != "tests"}, flush=True)


if __name__ == "__main__":
    main()
