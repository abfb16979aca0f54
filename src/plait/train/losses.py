"""Losses over a matrix of scores, whatever system gave them."""

from __future__ import annotations

import torch
from torch import Tensor


def contrastive_loss(
    scores: Tensor, own: Tensor, known: Tensor, *, temperature: float = 1.0, in_batch: bool = True
) -> Tensor:
    """Cross-entropy of each query's positive among its negatives.

    With one negative and without in-batch negatives it is the pairwise softmax of ColBERT (Khattab and
    Zaharia, 2020, section 3.3); with in-batch negatives it is the loss of the poly-encoder (Humeau et al.,
    2020, section 4.1), of ME-BERT (Luan et al., 2021) and of ColBERTv2 beside its distillation.

    Args:
        scores: ``[q, d]``; -inf where a pair was not scored.
        own: i64 ``[q, n]``, the columns of each query's documents, the positive first, -1 for none.
        known: bool ``[q, d]``, columns that are no negatives.
        temperature: scores are divided by it.
        in_batch: whether all columns are negatives, or only the query's own.

    Returns:
        The mean over queries.
    """
    left_out = known
    if not in_batch:
        mine = torch.zeros(scores.shape[0], scores.shape[1] + 1, dtype=torch.bool, device=scores.device)
        mine.scatter_(1, own % (scores.shape[1] + 1), True)  # -1 is the column too many
        left_out = left_out | ~mine[:, :-1]
    logits = (scores / temperature).masked_fill(left_out, -torch.inf)
    return torch.nn.functional.cross_entropy(logits, own[:, 0])


def distillation_loss(
    scores: Tensor,
    own: Tensor,
    teacher: Tensor,
    *,
    student_temperature: float = 1.0,
    teacher_temperature: float = 1.0,
) -> Tensor:
    """KL divergence from the teacher's distribution over a query's documents to the model's.

    ColBERTv2 (Santhanam et al., 2022, section 3.2). It is multiplied by the student's temperature squared,
    which keeps the size of gradients (Hinton et al., 2015).

    Args:
        scores: ``[q, d]``.
        own: i64 ``[q, n]``, the columns of each query's documents, -1 for none.
        teacher: ``[q, n]``, the teacher's scores.
        student_temperature, teacher_temperature: the scores of each are divided by it.

    Returns:
        The mean over queries.
    """
    missing = own < 0
    mine = scores.gather(1, own.clamp(min=0)) / student_temperature
    student = torch.log_softmax(mine.masked_fill(missing, -torch.inf), dim=1)
    wanted = torch.log_softmax((teacher / teacher_temperature).masked_fill(missing, -torch.inf), dim=1)
    apart = (wanted.exp() * (wanted - student)).masked_fill(missing, 0.0)
    return apart.sum(dim=1).mean() * student_temperature**2
