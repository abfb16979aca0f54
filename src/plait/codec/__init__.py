"""TOKEN EMBEDDINGS -> CENTROID CODES + DETAIL, and back."""

from plait.codec.residual import NBITS, ResidualCodec, ResidualTokens, require_nbits
from plait.codec.scaled import LEVELS, MAX_CENTROIDS, ScaledCodec, ScaledTokens, require_level

#: Any codec that an index may use.
Codec = ResidualCodec | ScaledCodec

__all__ = [
    "LEVELS",
    "MAX_CENTROIDS",
    "NBITS",
    "Codec",
    "ResidualCodec",
    "ResidualTokens",
    "ScaledCodec",
    "ScaledTokens",
    "require_level",
    "require_nbits",
]
