"""plait's own layout: ``encoder.json``, ``model.onnx`` and ``tokenizer.json`` side by side."""

from __future__ import annotations

from pathlib import Path

from plait.encoder.layouts.layout import Checkpoint
from plait.encoder.settings import read_settings
from plait.errors import CheckpointError


def read_plait(folder: Path, name: str) -> Checkpoint:
    """Find the three files; the name in ``encoder.json`` is kept."""
    settings_file = folder / "encoder.json"
    settings = read_settings(settings_file)
    model, tokenizer = folder / "model.onnx", folder / "tokenizer.json"
    for part in (model, tokenizer):
        if not part.is_file():
            raise CheckpointError(f"{part}: the file is missing")
    return Checkpoint(settings, settings_file, tokenizer, model)
