"""Figures about an index as it is on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plait.store.format import bytes_on_disk
from plait.store.reader import Snapshot


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What `plait inspect` shows.

    Attributes:
        path: the index's folder.
        format_version: of the files.
        documents: live documents.
        deleted: documents deleted whose tokens still take room.
        tokens: token vectors stored, those of deleted documents included.
        segments: immutable segments.
        dim: components per vector.
        level: of the scaled codec: "compact", "balanced" or "precise"; None for the residual codec.
        nbits: bits per dimension of the residual codec; None for the scaled codec.
        centroids: of the newest codec; None while the index keeps the original vectors.
        codecs: trained ones that segments have; a search looks for candidates once for each.
        calibrated_on: documents the index had when ``recall_target`` was measured; None if it never was.
        encoder: name of the encoder, None for an index of the caller's own vectors.
        bm25: the language whose stems are counted, "words" without stems; None if the index has no BM25.
        bytes_on_disk: all files.
        bytes_vectors: token vectors: segments and codecs.
        bytes_bm25: words for ``search_bm25``; None if the index was made without.
        bytes_bi_encoder: single vectors for ``search_bi_encoder``; None if the index was made without.
        bytes_catalog: texts, ids and metadata.
        bytes_per_token: ``bytes_vectors / tokens``.
        bytes_per_document: ``bytes_on_disk / documents``.
    """

    path: str
    format_version: int
    documents: int
    deleted: int
    tokens: int
    segments: int
    dim: int
    level: str | None
    nbits: int | None
    centroids: int | None
    codecs: int
    calibrated_on: int | None
    encoder: str | None
    bm25: str | None
    bytes_on_disk: int
    bytes_vectors: int
    bytes_bm25: int | None
    bytes_bi_encoder: int | None
    bytes_catalog: int
    bytes_per_token: float
    bytes_per_document: float


def stats(snapshot: Snapshot) -> IndexStats:
    """Figures of a snapshot and of the files that are there now."""
    sizes = bytes_on_disk(snapshot.folder, [part.name for part in snapshot.parts])
    tokens = sum(row.ntokens for row in snapshot.segment_rows)
    vectors = sizes["segments"] + sizes["codecs"]
    codecs = list(snapshot.codec_rows.values())
    encoder = snapshot.settings.get("encoder")
    return IndexStats(
        path=str(snapshot.folder),
        format_version=snapshot.format_version,
        documents=snapshot.ndocs,
        deleted=len(snapshot.tombstones),
        tokens=tokens,
        segments=len(snapshot.segments),
        dim=snapshot.dim,
        level=snapshot.settings.get("level"),
        nbits=snapshot.settings.get("nbits"),
        centroids=next((codec.ncentroids for codec in reversed(codecs) if codec.ncentroids), None),
        codecs=len({row.codec for row in snapshot.segment_rows if snapshot.codec(row.codec) is not None}),
        calibrated_on=(snapshot.settings.get("calibration") or {}).get("documents"),
        encoder=encoder["name"] if encoder else None,
        bm25=_stems(snapshot.settings.get("bm25")),
        bytes_on_disk=sizes["total"],
        bytes_vectors=vectors,
        bytes_bm25=sizes.get("bm25"),
        bytes_bi_encoder=sizes.get("bi_encoder"),
        bytes_catalog=sizes["catalog"],
        bytes_per_token=round(vectors / tokens, 2) if tokens else 0.0,
        bytes_per_document=round(sizes["total"] / snapshot.ndocs, 1) if snapshot.ndocs else 0.0,
    )


def _stems(bm25: dict[str, Any] | None) -> str | None:
    if bm25 is None:
        return None
    return str(bm25["language"]) if bm25["stemming"] and bm25["language"] else "words"
