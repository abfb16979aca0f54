"""The poly-encoder: m vectors on one side, one on the other, which attends over them (Humeau et al., 2020).

In the paper the context, here the query, has the m vectors, and the candidate, here the document, has one.
With ``code_side="document"`` the roles are swapped: documents become multi-vectors that can be indexed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plait.train.interactions import Vectors, attend, attention_score
from plait.train.network import Hidden
from plait.train.systems.own import OwnSystem


class PolyEncoder(OwnSystem):
    """Learned codes, or the first m token outputs, on one side; the first token's output on the other."""

    name = "poly-encoder"
    keys = ("vectors", "code_side", "first_tokens")

    def make_heads(self, width: int, dim: int) -> None:
        """The codes, uniform from 0 to 1 as in the authors' code, and a projection if ``dim`` is another."""
        codes = nn.Parameter(torch.rand(self.shape["vectors"], dim))
        self.codes = None if self.shape["first_tokens"] else codes
        self.projection = nn.Identity() if dim == width else nn.Linear(width, dim, bias=False)
        if dim != width:
            nn.init.orthogonal_(self.projection.weight)

    def embed(self, hidden: Hidden, side: str) -> Vectors:
        """The m vectors of a text on the side of the codes, and one of all others."""
        values = self.projection(hidden.values)
        if (side == "document") != (self.shape["code_side"] == "document"):
            return Vectors(values[:, :1], hidden.attended[:, :1])
        if self.codes is None:
            count = self.shape["vectors"]
            return Vectors(values[:, :count], hidden.attended[:, :count])
        many = attend(self.codes, values, values, hidden.attended)
        return Vectors(many, torch.ones(many.shape[:2], dtype=torch.bool, device=many.device))

    def interact(self, queries: Vectors, documents: Vectors) -> Tensor:
        """The one vector attends over the m, and is multiplied with what it finds."""
        if self.shape["code_side"] == "document":
            return attention_score(documents, queries.values[:, 0]).T
        return attention_score(queries, documents.values[:, 0])
