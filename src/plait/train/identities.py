"""Hashes by which models are told apart, whatever they are named by."""

from __future__ import annotations

from pathlib import Path

from plait.encoder import load_encoder
from plait.train.hashing import hash_files

BUILTIN = "builtin"
"""Names the model that ships inside plait, where there is no folder of that name."""


def is_builtin(model: str | Path) -> bool:
    """Whether the built-in model is meant."""
    return str(model) == BUILTIN and not Path(model).exists()


def identity_of_model(path: str) -> str:
    """A hash of a model's files, of the built-in one for "" or BUILTIN, or a name that is no folder here."""
    if not path or is_builtin(path):
        return load_encoder().fingerprint
    return hash_files(Path(path)) if Path(path).exists() else path


def identity_of_teacher(name: str) -> str:
    """The same for ``KIND:PATH``; BM25 without a path is that of the corpus, which is hashed elsewhere."""
    kind, _, path = name.partition(":")
    return kind if name == "bm25" else f"{kind} {identity_of_model(path)}"
