"""Oracle: PyLate 1.6. Writes its checkpoints and what it makes of the texts."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import torch
from models import save

for absent in ("fast_plaid", "voyager", "fastkmeans"):  # indexes, which are not asked for anything here
    sys.modules[absent] = types.ModuleType(absent)
sys.modules["fast_plaid"].search = types.ModuleType("search")
sys.modules["voyager"].Index = sys.modules["voyager"].Space = object

from pylate import models  # noqa: E402

LENGTHS = {"query_length": 24, "document_length": 40}
CHECKPOINTS = {
    "pylate-bert": ("bert", 1, LENGTHS),
    "pylate-modernbert": ("modernbert", 3, {**LENGTHS, "attend_to_expansion_tokens": True}),
    "pylate-distilbert": (
        "distilbert",
        1,
        {**LENGTHS, "do_query_expansion": False, "skiplist_words": [".", "the"]},
    ),
}


def main(folder: Path, texts: dict[str, list[str]]) -> None:
    for seed, (name, (family, projections, options)) in enumerate(CHECKPOINTS.items()):
        base, target = folder / f"{name}-base", folder / name
        save(family, base, seed + 10)
        model = models.ColBERT(str(base), embedding_size=16, device="cpu", **options)
        if projections == 3:  # as published small models have: wider, activated, with a bias and residuals
            model[1] = models.Dense(32, 40, bias=True, activation_function=torch.nn.GELU(), use_residual=True)
            model.append(
                models.Dense(40, 40, bias=False, activation_function=torch.nn.Tanh(), use_residual=True)
            )
            model.append(models.Dense(40, 16, bias=False))
        model.save(str(target), create_model_card=False)
        shutil.rmtree(base)
        encoder = models.ColBERT(str(target), device="cpu")
        found = {}
        for kind in ("query", "document"):
            for place, text in enumerate(texts["queries" if kind == "query" else "documents"]):
                found[f"{kind}{place}"] = encoder.encode([text], is_query=kind == "query")[0]
        np.savez_compressed(target / "expected.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
