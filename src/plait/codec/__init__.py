"""TOKEN EMBEDDINGS -> CENTROID CODES + RESIDUALS, and back."""

from plait.codec.residual import NBITS, ResidualCodec, ResidualTokens, require_nbits

__all__ = ["NBITS", "ResidualCodec", "ResidualTokens", "require_nbits"]
