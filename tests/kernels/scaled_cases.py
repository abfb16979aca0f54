"""Random inputs for the kernels of the scaled codec, complete and consistent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plait.kernels import reference
from plait.kernels import reference_scaled as scaled


@dataclass(frozen=True)
class ScaledCase:
    """A query and a segment as the kernels take them."""

    query: np.ndarray
    vectors: np.ndarray
    codes: np.ndarray
    rows: np.ndarray
    gains: np.ndarray
    centroids8: np.ndarray
    centroid_scales: np.ndarray
    sigma: np.ndarray
    bits: scaled.Bits
    gain_values: np.ndarray
    offsets: np.ndarray
    docs: np.ndarray

    def encode(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("vectors codes centroids8 centroid_scales sigma bits", changes)

    def decode(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("codes rows gains centroids8 centroid_scales sigma bits gain_values", changes)

    def maxsim(self, **changes: Any) -> dict[str, Any]:
        return self.decode(query=self.query, offsets=self.offsets, docs=self.docs) | changes

    def maxsim_all(self, query_offsets: list[int], **changes: Any) -> dict[str, Any]:
        chosen = {"queries": self.query, "query_offsets": np.array(query_offsets, dtype=np.int64)}
        return self.decode(offsets=self.offsets, docs=self.docs) | chosen | changes

    def _arguments(self, names: str, changes: dict[str, Any]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names.split()} | changes


def make_scaled(
    seed: int,
    width: int = 128,
    nq: int = 20,
    bits: scaled.Bits | None = None,
    doclens: tuple[int, ...] = (3, 0, 1, 80, 11, 12, 13),
    ncentroids: int = 50,
    zeros: bool = False,
) -> ScaledCase:
    """``bits`` are drawn if they are not given; ``zeros`` puts zeros into everything that is a float."""
    rng = np.random.default_rng(seed)
    if bits is None:
        bits = draw_bits(rng, width)
    ntokens = sum(doclens)

    def unit(count: int) -> np.ndarray:
        rows = floats(count, width)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9).astype(np.float32)

    def floats(*shape: int) -> np.ndarray:
        values = rng.standard_normal(shape).astype(np.float32)
        if zeros:
            values[rng.random(shape[0]) < 0.3] = 0
        return values

    centroids = unit(ncentroids)
    rows8, centroid_scales = reference.quantise_rows(centroids)
    codes = rng.integers(0, ncentroids, ntokens).astype(np.uint16)
    return ScaledCase(
        query=unit(nq),
        vectors=unit(ntokens) * np.float32(0.5) + centroids[codes],
        codes=codes,
        rows=rng.integers(0, 256, (ntokens, scaled.row_bytes(bits))).astype(np.uint8),
        gains=rng.integers(0, 256, ntokens).astype(np.uint8),
        centroids8=(rows8.astype(np.int16) + 128).astype(np.uint8),
        centroid_scales=centroid_scales,
        sigma=np.abs(floats(width)) * np.float32(scaled.LEVEL_STEP),
        bits=bits,
        gain_values=floats(256, 2),
        offsets=np.concatenate([[0], np.cumsum(doclens)]).astype(np.int64),
        docs=rng.permutation(np.tile(np.arange(len(doclens)), 2)).astype(np.uint32),
    )


def draw_bits(rng: np.random.Generator, width: int) -> scaled.Bits:
    """Any shape of bits; about half of the parts are empty."""
    bits, room = [], width
    for unit in (8, 16, 32):
        bits.append(int(rng.integers(0, room // unit + 1)) * unit * int(rng.integers(0, 2)))
        room -= bits[-1]
    return bits[0], bits[1], bits[2]
