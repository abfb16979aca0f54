"""How the vectors of a query and of a document become a score. One padded piece of documents at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Vectors(NamedTuple):
    """The vectors of several texts.

    Attributes:
        values: f32 ``[n, length, dim]``.
        kept: bool ``[n, length]``, False where there is no vector.
    """

    values: Tensor
    kept: Tensor


def max_sim(queries: Vectors, documents: Vectors) -> Tensor:
    """MaxSim: for each query vector its greatest dot product with a document's, summed.

    ColBERT (Khattab and Zaharia, 2020, section 3.2). With one query vector it is ME-BERT's greatest inner
    product (Luan et al., 2021, section 4), and with one on each side a bi-encoder's dot product.

    Returns:
        f32 ``[q, d]``.
    """
    width, dim = queries.values.shape[1:]
    flat = queries.values.reshape(-1, dim) @ documents.values.reshape(-1, dim).T
    products = flat.reshape(len(queries.values), width, *documents.values.shape[:2])
    products = products.masked_fill(~documents.kept, -torch.inf)
    best = products.max(dim=3).values
    return best.masked_fill(~queries.kept[:, :, None], 0.0).sum(dim=1)


def attend(query: Tensor, keys: Tensor, values: Tensor, kept: Tensor) -> Tensor:
    """Attention without scale: ``softmax(query . keys) values`` over what is kept.

    Args:
        query: ``[..., a, dim]``.
        keys, values: ``[..., b, dim]``.
        kept: bool ``[..., b]``.

    Returns:
        ``[..., a, dim]``.
    """
    weights = (query @ keys.transpose(-1, -2)).masked_fill(~kept[..., None, :], -torch.inf)
    return torch.softmax(weights, dim=-1) @ values


def attention_score(many: Vectors, one: Tensor) -> Tensor:
    """The poly-encoder's score: the one vector attends over the many, and is multiplied with the outcome.

    Humeau et al. (2020, section 4.4): ``y . sum_i softmax_i(y . c_i) c_i``, where ``y`` is the one vector
    and ``c_i`` are the many. Only the products ``y . c_i`` matter, so nothing of ``[a, b, dim]`` is made.

    Args:
        many: a texts of m vectors each.
        one: f32 ``[b, dim]``.

    Returns:
        f32 ``[a, b]``.
    """
    products = torch.einsum("amd,bd->abm", many.values, one)
    weights = torch.softmax(products.masked_fill(~many.kept[:, None, :], -torch.inf), dim=-1)
    return (weights * products).sum(dim=-1)
