"""ME-BERT: the first m token outputs of a document, one of the query, the greatest inner product.

Luan et al., "Sparse, Dense, and Attentional Representations for Text Retrieval" (2021), section 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from plait.train.interactions import Vectors, max_sim
from plait.train.network import Hidden
from plait.train.systems.own import OwnSystem


class MEBert(OwnSystem):
    """The first token outputs, projected if ``dim`` is another width, and layer-normalised.

    The authors' training command has the layer norm and no projection, and shares one network between
    queries and passages.
    """

    name = "me-bert"
    keys = ("vectors",)

    def make_heads(self, width: int, dim: int) -> None:
        """A projection if ``dim`` is another, and a layer norm."""
        self.projection = nn.Identity() if dim == width else nn.Linear(width, dim)
        if dim != width:
            nn.init.orthogonal_(self.projection.weight)
            nn.init.zeros_(self.projection.bias)
        self.norm = nn.LayerNorm(dim, eps=1e-12)

    def embed(self, hidden: Hidden, side: str) -> Vectors:
        """The first m vectors of a document, the first one of a query."""
        count = self.shape["vectors"] if side == "document" else 1
        values = self.norm(self.projection(hidden.values[:, :count]))
        return Vectors(values, hidden.attended[:, :count])

    def interact(self, queries: Vectors, documents: Vectors) -> Tensor:
        """The greatest inner product: MaxSim with one query vector."""
        return max_sim(queries, documents)
