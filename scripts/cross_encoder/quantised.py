"""How far the scores of the 8-bit cross-encoder are from those in f32, on held-out groups.

    python scripts/cross_encoder/quantised.py RUN CONVERTED --groups cross/held-out.jsonl

Only groups that were not looked at while training are read: every other one, from the second.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import plait
from plait.evaluate import evaluate
from plait.train import read_groups


def main() -> None:
    """One line of JSON."""
    parser = argparse.ArgumentParser(description="Compare a cross-encoder with its 8-bit form.")
    parser.add_argument("original", type=Path)
    parser.add_argument("quantised", type=Path)
    parser.add_argument("--groups", type=Path, required=True)
    options = parser.parse_args()
    groups = read_groups(options.groups)[1::2]
    qrels = {str(row): {"0": 1} for row in range(len(groups))}
    scores = {}
    for name in ("original", "quantised"):
        model = plait.CrossEncoder(getattr(options, name))
        scores[name] = [model.score(group.query, group.documents, logits=True, threads=1) for group in groups]
    scores["colbert"] = [np.array(group.scores) for group in groups]
    ndcg = {
        name: evaluate(
            qrels,
            {str(row): {str(n): float(v) for n, v in enumerate(each)} for row, each in enumerate(values)},
            ["ndcg@10"],
        )["ndcg@10"]
        for name, values in scores.items()
    }
    before, after = (np.concatenate(scores[name]) for name in ("original", "quantised"))
    print(
        json.dumps(
            {
                "pairs": len(before),
                "ndcg@10": ndcg,
                "correlation": float(np.corrcoef(before, after)[0, 1]),
                "mean_difference": float(np.abs(before - after).mean()),
                "greatest_difference": float(np.abs(before - after).max()),
                "deviation": float(before.std()),
            }
        )
    )


if __name__ == "__main__":
    main()
