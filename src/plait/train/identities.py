"""Hashes by which models are told apart, whatever they are named by."""

from __future__ import annotations

from pathlib import Path

from plait.encoder import load_encoder
from plait.train.hashing import hash_files


def identity_of_model(path: str) -> str:
    """A hash of a model's files, of the built-in one for "", or a name that is no folder here."""
    if not path:
        return load_encoder().fingerprint
    return hash_files(Path(path)) if Path(path).exists() else path


def identity_of_teacher(name: str) -> str:
    """The same for ``KIND:PATH``; BM25 without a path is that of the corpus, which is hashed elsewhere."""
    kind, _, path = name.partition(":")
    return kind if name == "bm25" else f"{kind} {identity_of_model(path)}"
