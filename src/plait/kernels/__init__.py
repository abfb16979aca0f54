"""The one door to the kernels: native code, or the NumPy twins when it is asked for.

The fastest instruction set of the machine is chosen at import. The environment variable
``PLAIT_ISA`` forces another one (``scalar``; x86-64: ``avx2``, ``avxvnni``, ``avx512``; AArch64:
``neon``) or the twins in NumPy (``reference``); results do not depend on it, only speed does.

Kernels run in the calling thread and release the GIL: to use several threads, split ``docs`` or rows.
"""

from __future__ import annotations

import os

from plait.kernels import _native, reference, reference_bm25, reference_pooled, reference_scaled
from plait.kernels.reference import (
    CENTROID_ZERO,
    LEVEL_ZERO,
    lanes_of,
    pack,
    quantise_rows,
    sum_lanes,
    unpack,
)
from plait.kernels.reference_pooled import WIDEST_POOLED, pooled_levels, quantise_query
from plait.kernels.reference_scaled import LEVEL_STEP, NO_ROW, row_bytes

__all__ = [
    "CENTROID_ZERO",
    "LEVEL_STEP",
    "LEVEL_ZERO",
    "NO_ROW",
    "WIDEST_POOLED",
    "approximate",
    "assign",
    "assign_grouped",
    "available_isas",
    "centroid_scores",
    "compress",
    "count_alive",
    "decode_scaled",
    "decompress",
    "encode_scaled",
    "find_terms",
    "gather",
    "gather_top",
    "inverse_norms",
    "invert",
    "isa",
    "lanes_of",
    "maxsim",
    "maxsim_codes",
    "maxsim_decoded",
    "maxsim_decoded_all",
    "maxsim_scaled",
    "maxsim_scaled_all",
    "merge_tokens",
    "pack",
    "pooled_levels",
    "quantise_query",
    "quantise_rows",
    "rotate",
    "row_bytes",
    "sum_by_centroid",
    "sum_lanes",
    "top_bm25",
    "top_centroids",
    "top_k",
    "top_pooled",
    "top_rows",
    "unpack",
]


def available_isas() -> list[str]:
    """Instruction sets that this machine can run, slowest first."""
    return _native.available_isas()


def _choose() -> _native.Kernels | None:
    wanted = os.environ.get("PLAIT_ISA") or available_isas()[-1]
    if wanted == "reference":
        return None
    try:
        return _native.kernels(wanted)
    except ValueError as error:
        raise ImportError(f"PLAIT_ISA={wanted}: {error}, reference") from None


_chosen = _choose()


def isa() -> str:
    """The instruction set in use, or ``reference``."""
    return "reference" if _chosen is None else _chosen.isa


maxsim = reference.maxsim if _chosen is None else _chosen.maxsim
maxsim_codes = reference.maxsim_codes if _chosen is None else _chosen.maxsim_codes
approximate = reference.approximate if _chosen is None else _chosen.approximate
centroid_scores = reference.centroid_scores if _chosen is None else _chosen.centroid_scores
assign = reference.assign if _chosen is None else _chosen.assign
assign_grouped = reference.assign_grouped if _chosen is None else _chosen.assign_grouped
sum_by_centroid = reference.sum_by_centroid if _chosen is None else _chosen.sum_by_centroid
compress = reference.compress if _chosen is None else _chosen.compress
decompress = reference.decompress if _chosen is None else _chosen.decompress
inverse_norms = reference.inverse_norms if _chosen is None else _chosen.inverse_norms
top_centroids = reference.top_centroids if _chosen is None else _chosen.top_centroids
gather = reference.gather if _chosen is None else _chosen.gather
top_k = reference.top_k if _chosen is None else _chosen.top_k
encode_scaled = reference_scaled.encode_scaled if _chosen is None else _chosen.encode_scaled
decode_scaled = reference_scaled.decode_scaled if _chosen is None else _chosen.decode_scaled
maxsim_scaled = reference_scaled.maxsim_scaled if _chosen is None else _chosen.maxsim_scaled
maxsim_scaled_all = reference_scaled.maxsim_scaled_all if _chosen is None else _chosen.maxsim_scaled_all
maxsim_decoded = reference_scaled.maxsim_decoded if _chosen is None else _chosen.maxsim_decoded
maxsim_decoded_all = reference_scaled.maxsim_decoded_all if _chosen is None else _chosen.maxsim_decoded_all
rotate = reference_scaled.rotate if _chosen is None else _chosen.rotate
merge_tokens = reference_scaled.merge_tokens if _chosen is None else _chosen.merge_tokens
top_rows = reference_scaled.top_rows if _chosen is None else _chosen.top_rows
gather_top = reference_scaled.gather_top if _chosen is None else _chosen.gather_top
invert = reference_scaled.invert if _chosen is None else _chosen.invert
top_pooled = reference_pooled.top_pooled if _chosen is None else _chosen.top_pooled
find_terms = reference_bm25.find_terms if _chosen is None else _chosen.find_terms
count_alive = reference_bm25.count_alive if _chosen is None else _chosen.count_alive
top_bm25 = reference_bm25.top_bm25 if _chosen is None else _chosen.top_bm25
