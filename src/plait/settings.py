"""What is fixed when an index is made, as its catalog keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plait.analysis import BM25
from plait.codec import require_level, require_nbits
from plait.encoder import Encoder
from plait.encoders import as_encoder, encoder_record
from plait.errors import InvalidParameter
from plait.inputs import as_fields
from plait.store.bi_encoder import BiEncoderPart


def new_settings(
    model: str | Path | Encoder | None,
    *,
    dim: int | None,
    level: str | None,
    nbits: int | None,
    seed: int,
    fields: Mapping[str, type] | None,
    bm25: bool | BM25 | None,
    bi_encoder: bool | int | None,
) -> tuple[Encoder | None, dict[str, Any]]:
    """What ``Index.create`` was given, checked, as the catalog keeps it; and the encoder, which is loaded.

    Raises:
        As ``Index.create``.
    """
    level = _require_codec(level, nbits)
    declared = as_fields(fields or {})
    encoder = None
    if dim is None:
        encoder = as_encoder(model)
    elif model is not None:
        raise InvalidParameter("give model= for text or dim= for your own vectors, not both")
    elif not isinstance(dim, int) or dim < 1:
        raise InvalidParameter(f"dim must be a whole number of at least 1, not {dim!r}")
    has_encoder = encoder is not None
    return encoder, {
        "dim": encoder.dim if encoder else dim,
        "level": level,
        "nbits": nbits,
        "seed": seed,
        "encoder": encoder_record(encoder, model),
        **({"fields": declared} if declared else {}),
        **bm25_setting(has_encoder if bm25 is None else bm25),
        **bi_encoder_setting(has_encoder if bi_encoder is None else bi_encoder, encoder, dim),
    }


def _require_codec(level: str | None, nbits: int | None) -> str | None:
    """The level of the scaled codec; None for the residual codec."""
    if nbits is None:
        require_level(level or "balanced")
        return level or "balanced"
    if level is not None:
        raise InvalidParameter("give level= or nbits= (ColBERTv2's residual codec), not both")
    require_nbits(nbits)
    return None


def bm25_setting(bm25: bool | BM25) -> dict[str, Any]:
    """The setting of the part by its name; empty for False."""
    if not isinstance(bm25, bool | BM25):
        raise InvalidParameter(f"bm25 must be True, False or a plait.BM25, not {bm25!r}")
    if bm25 is False:
        return {}
    return {"bm25": (BM25() if bm25 is True else bm25).as_json()}


def bi_encoder_setting(wanted: bool | int, encoder: Encoder | None, dim: int | None) -> dict[str, Any]:
    """The setting of the part by its name; empty for False."""
    if wanted is False:
        return {}
    if encoder is not None and wanted is not True:
        raise InvalidParameter(f"bi_encoder must be True or False with an encoder, not {wanted!r}")
    width: Any = wanted
    if wanted is True:
        width = dim if encoder is None else getattr(encoder, "pooled_dim", encoder.dim)
    part = BiEncoderPart.from_json(BiEncoderPart(width).as_json())
    return {part.name: part.as_json()}
