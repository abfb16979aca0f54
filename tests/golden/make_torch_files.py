"""Writes ``tests/golden/torch``: small files by torch itself, and as JSON what is in them. Needs torch 2.13.

python tests/golden/make_torch_files.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "torch"


def values() -> dict[str, object]:
    """One object per file: what colbert-ai's indexes and models' checkpoints hold."""
    torch.manual_seed(3)
    grid = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
    kinds = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    return {
        "tensor": grid,
        "dtypes": {str(kind): (grid * 8).to(kind) for kind in (*kinds, torch.bfloat16, torch.float64)},
        "views": {"transposed": grid.T, "row": grid[1], "every_other": grid[:, ::2], "same": grid},
        "scalar_and_empty": (torch.tensor(0.25), torch.zeros(0, 5), torch.tensor([7])),
        "state_dict": model.state_dict(),
        "parameter": {
            "weight": torch.nn.Parameter(grid),
            "epoch": 3,
            "loss": 0.5,
            "name": "tiny",
            "none": None,
        },
        "tuple": (grid[0].half(), torch.tensor([4, 5, 6])),
    }


def plain(value: object) -> object:
    """Tensors as [dtype, shape, flat numbers]; NumPy has no bfloat16, so it is read as f32."""
    if isinstance(value, torch.Tensor):
        kind = "float32" if value.dtype == torch.bfloat16 else str(value.dtype).removeprefix("torch.")
        return [kind, list(value.shape), value.detach().flatten().tolist()]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, value in values().items():
        torch.save(value, FOLDER / f"{name}.pt")
        torch.save(value, FOLDER / f"{name}_legacy.pt", _use_new_zipfile_serialization=False)
    contents = {name: plain(value) for name, value in values().items()}
    (FOLDER / "contents.json").write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
