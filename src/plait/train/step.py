"""One step: the losses of a batch and their gradients, in pieces that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from plait.train.batches import Batch
from plait.train.losses import contrastive_loss, distillation_loss
from plait.train.settings import TrainSettings
from plait.train.systems.system import Outputs, Piece, System

TEMPERATURES = {"bi-encoder": 0.05}
"""Of the contrastive loss where none is asked for; 1 for all others."""

Losses = dict[str, Tensor]


def backward(
    system: System,
    batch: Batch,
    settings: TrainSettings,
    step: int,
    between: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Add the gradients of a batch to the parameters.

    Args:
        system: what is trained.
        batch: its groups.
        settings: the losses, and whether outputs are made twice to save memory.
        step: with the seed it decides about dropout, so that a step can be repeated.
        between: called between two pieces; what it raises leaves the parameters as they were.

    Returns:
        The losses by name, "loss" being their weighted sum.
    """
    pieces = system.pieces(batch, settings.tokens_per_pass, settings.in_batch)

    def run(place: int) -> Outputs:
        between()
        torch.manual_seed(hash((settings.seed, step, place)) % 2**63)
        return system.run(pieces[place])

    if settings.cached:
        return _backward_twice(system, batch, settings, pieces, run)
    losses = losses_of(system, batch, settings, pieces, [run(place) for place in range(len(pieces))])
    losses["loss"].backward()
    return {name: float(value.detach()) for name, value in losses.items()}


def _backward_twice(
    system: System,
    batch: Batch,
    settings: TrainSettings,
    pieces: Sequence[Piece],
    run: Callable[[int], Outputs],
) -> dict[str, float]:
    """GradCache (Gao et al., 2021): gradients of the vectors first, then of the network, piece by piece."""
    with torch.no_grad():
        outputs = [run(place) for place in range(len(pieces))]
    leaves = [
        tuple(part.requires_grad_() if part.is_floating_point() else part for part in output)
        for output in outputs
    ]
    losses = losses_of(system, batch, settings, pieces, leaves)
    losses["loss"].backward()
    for place, leaf in enumerate(leaves):
        again = run(place)
        flowing = [(part, kept.grad) for part, kept in zip(again, leaf, strict=True) if kept.grad is not None]
        if flowing:
            torch.autograd.backward([part for part, _ in flowing], [gradient for _, gradient in flowing])
    return {name: float(value.detach()) for name, value in losses.items()}


def losses_of(
    system: System,
    batch: Batch,
    settings: TrainSettings,
    pieces: Sequence[Piece],
    outputs: Sequence[Outputs],
) -> Losses:
    """The losses that the settings ask for, and "loss", their weighted sum."""
    matrices = system.scores(batch, pieces, outputs)
    usual = TEMPERATURES.get(system.name, 1.0)
    found = _losses(matrices[0], batch, settings, settings.temperature or usual, settings.student_temperature)
    if settings.bi_encoder:
        warmth = settings.bi_encoder_temperature
        beside = _losses(matrices[1], batch, settings, warmth, warmth)
        found["bi_encoder"] = beside["loss"]
        found["loss"] = found["loss"] + settings.bi_encoder * beside["loss"]
    return found


def _losses(
    scores: Tensor, batch: Batch, settings: TrainSettings, temperature: float, student: float
) -> Losses:
    own = torch.from_numpy(batch.own).to(scores.device)
    found: Losses = {}
    total = scores.new_zeros(())
    if settings.contrastive:
        known = torch.from_numpy(batch.known).to(scores.device)
        found["contrastive"] = contrastive_loss(
            scores, own, known, temperature=temperature, in_batch=settings.in_batch
        )
        total = total + settings.contrastive * found["contrastive"]
    if settings.distillation:
        found["distillation"] = distillation_loss(
            scores,
            own,
            torch.from_numpy(batch.teacher).to(scores.device),
            student_temperature=student,
            teacher_temperature=settings.teacher_temperature,
        )
        total = total + settings.distillation * found["distillation"]
    return {"loss": total, **found}
