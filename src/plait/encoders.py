"""Which encoder an index has: what is kept of it, and whether another one is the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plait.encoder import Encoder, lasting_name, load_encoder
from plait.errors import CheckpointError, EncoderMismatch
from plait.store import Catalog


def as_encoder(model: str | Path | Encoder | None) -> Encoder:
    """The encoder, loaded if its folder is given; the built-in one for None."""
    if model is None or isinstance(model, str | Path):
        return load_encoder(model)
    return model


def encoder_record(encoder: Encoder | None, model: str | Path | Encoder | None) -> dict[str, Any] | None:
    """What the catalog keeps: its name, what tells it from others, and where it can be loaded from."""
    if encoder is None:
        return None
    path = lasting_name(model) if isinstance(model, str | Path) else None
    return {"name": encoder.name, "fingerprint": encoder.fingerprint, "path": path}


def encoder_of(folder: Path, model: str | Path | Encoder | None) -> Encoder | None:
    """The encoder that an index was made with, which may be damaged; None if it has none, or it is gone."""
    catalog = Catalog.open(folder)
    try:
        record = catalog.settings().get("encoder")
    finally:
        catalog.close()
    if record is None:
        return None if model is None else as_encoder(model)
    try:
        encoder = as_encoder(record["path"] if model is None else model)
    except CheckpointError:
        if model is not None:
            raise
        return None
    if encoder.fingerprint != record["fingerprint"]:
        if model is None:
            return None
        raise EncoderMismatch(f"{folder} was made with the encoder {record['name']!r}, not {encoder.name!r}")
    return encoder


def require_match(folder: Path, record: Mapping[str, Any] | None, dim: int, encoder: Encoder) -> Encoder:
    """The encoder, if it is the one that an index was made with.

    Args:
        folder: of the index, to name it.
        record: what its catalog keeps of its encoder; None if it was made for vectors.
        dim: components of its vectors.
        encoder: the one to be used.

    Raises:
        EncoderMismatch: it is another one, or gives vectors of another width.
    """
    if record is None:  # the caller says which model the vectors came from
        if encoder.dim != dim:
            raise EncoderMismatch(
                f"{folder} holds vectors of {dim} components, but {encoder.name!r} gives "
                f"{encoder.dim}: it is not the model that they came from"
            )
    elif record["fingerprint"] != encoder.fingerprint:
        raise EncoderMismatch(
            f"{folder} was made with the encoder {record['name']!r}, but {encoder.name!r} "
            f"is another one: its vectors can't be compared with those in the index"
        )
    return encoder
