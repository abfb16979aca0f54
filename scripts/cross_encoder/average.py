"""The mean of several states of one run, as a checkpoint of sentence-transformers.

    python scripts/cross_encoder/average.py cross/training --states state-500.pt state-550.pt state-600.pt \
        --out cross/mean

The first argument is the folder ``training`` of a run that was stopped; ``--states`` are copies of its
``state.pt`` from different steps. Needs ``plait[train]``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from plait.train.state import START
from plait.train.systems import load_system


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(description="Average states of a run.")
    parser.add_argument("training", type=Path)
    parser.add_argument("--states", nargs="+", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    loaded = [torch.load(path, map_location="cpu", weights_only=True) for path in options.states]
    print("steps", [state["step"] for state in loaded])
    system = load_system(options.training / START)
    weights = dict(system.named_parameters())
    with torch.no_grad():
        for name in loaded[0]["weights"]:
            weights[name].copy_(torch.stack([state["weights"][name] for state in loaded]).mean(0))
    system.save(options.out)


if __name__ == "__main__":
    main()
