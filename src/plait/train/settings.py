"""What a training run is told: one frozen value, checked when it is made. Loads no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plait.errors import InvalidParameter

SYSTEMS = ("colbert", "bi-encoder", "cross-encoder", "poly-encoder", "me-bert")
CODE_SIDES = ("document", "context")
PRECISIONS = ("auto", "f32", "bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """All that decides what a training run gives, beside the base model and the groups.

    Attributes:
        system: one of ``SYSTEMS``.
        dim: components per vector; None for 128 (colbert) or the network's width (all others), or for what
            a base that is such a system already has.
        query_length: the most tokens of a query, and with ``query_expansion`` the tokens it is filled up to.
        document_length: the most tokens of a document; of the pair for the cross-encoder.
        query_expansion: fill queries with the mask token (colbert only; Khattab and Zaharia, 2020).
        query_prefix, document_prefix: text put before each query and document: a token of the vocabulary
            marks the side. "" for no marker.
        skip_punctuation: leave vectors of punctuation out of documents (colbert only).
        vectors: m, the vectors of a text: learned codes (poly-encoder) or first tokens (me-bert).
        code_side: which side of the poly-encoder has m vectors: "context" (the query, as in the paper) or
            "document", whose vectors can be indexed.
        first_tokens: the first ``vectors`` token outputs in place of learned codes (poly-encoder).
        contrastive: weight of the cross-entropy of the positive among its negatives.
        distillation: weight of the KL divergence from the teacher's scores.
        bi_encoder: weight of the same losses on the mean of the network's outputs (colbert only), so that
            one forward pass gives both a ColBERT and a bi-encoder.
        in_batch: whether documents of other groups in the batch are negatives too.
        negatives: negatives taken from a group at each step; None for all.
        temperature: scores are divided by it in the contrastive loss; None for 1 (colbert, poly-encoder,
            me-bert, cross-encoder) or .05 (bi-encoder).
        student_temperature, teacher_temperature: the same in the distillation loss.
        bi_encoder_temperature: the temperature of the ``bi_encoder`` loss and of its student.
        batch_size: groups per step.
        cached: GradCache (Gao et al., 2021): memory for one piece of the batch only, for one more forward
            pass. Same gradients.
        tokens_per_pass: padded tokens that go through the network at once.
        frozen_layers: the embeddings and so many lower layers are not trained; 0 for the embeddings alone,
            None to train all.
        learning_rate: the highest one, of AdamW.
        head_learning_rate: that of what is behind the network; None for the same.
        warm_up: the share of steps in which the rate rises; after it, it falls to 0 linearly.
        weight_decay, clip: AdamW's decay, and the largest norm of a gradient.
        dropout: None for the base's own.
        epochs: passes over the groups.
        steps: how many steps in all, in place of ``epochs``.
        seed: of the order, the choice of negatives, new weights and dropout.
        precision: "f32", "bf16" (the network's products; weights stay f32), or "auto": bf16 on a GPU.
        validate_every: steps between two looks at the held-out groups; None for 10 looks in all.
        checkpoint_every: steps between two checkpoints to go on from; None for ``validate_every``.
        keep: "best" for the weights with the best held-out nDCG, or "last".
    """

    system: str = "colbert"
    dim: int | None = None
    query_length: int | None = None
    document_length: int | None = None
    query_expansion: bool | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    skip_punctuation: bool = True
    vectors: int = 8
    code_side: str = "document"
    first_tokens: bool = False
    contrastive: float = 1.0
    distillation: float = 0.0
    bi_encoder: float = 0.0
    in_batch: bool = True
    negatives: int | None = None
    temperature: float | None = None
    student_temperature: float = 1.0
    teacher_temperature: float = 1.0
    bi_encoder_temperature: float = 0.05
    batch_size: int = 32
    cached: bool = False
    tokens_per_pass: int = 8192
    frozen_layers: int | None = None
    learning_rate: float = 2e-5
    head_learning_rate: float | None = None
    warm_up: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float | None = None
    epochs: int = 1
    steps: int | None = None
    seed: int = 0
    precision: str = "auto"
    validate_every: int | None = None
    checkpoint_every: int | None = None
    keep: str = "best"

    def __post_init__(self) -> None:
        """Check every value; raises InvalidParameter that names it."""
        self._check_choices()
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise InvalidParameter(f"{name} must be a whole number of at least {least}, not {value!r}")
        for name in _POSITIVE:
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise InvalidParameter(f"{name} must be a number above 0, not {getattr(self, name)!r}")
        for name in ("contrastive", "distillation", "bi_encoder", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidParameter(f"{name} must be a number of at least 0, not {getattr(self, name)!r}")
        self._check_together()

    def _check_together(self) -> None:
        if not self.contrastive and not self.distillation:
            raise InvalidParameter("contrastive and distillation are both 0: nothing would be learned")
        if not 0 <= self.warm_up < 1:
            raise InvalidParameter(f"warm_up must be a share from 0 to below 1, not {self.warm_up!r}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise InvalidParameter(f"dropout must be from 0 to below 1, not {self.dropout!r}")
        if self.bi_encoder and self.system != "colbert":
            raise InvalidParameter(f"bi_encoder is a loss beside colbert's; system is {self.system!r}")

    def _check_choices(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                given = getattr(self, name)
                raise InvalidParameter(f"{name} must be one of {', '.join(known)}, not {given!r}")

    def replace(self, **changes: Any) -> TrainSettings:
        """The same settings with some others."""
        return settings_from({**dataclasses.asdict(self), **changes})


_CHOICES = {
    "system": SYSTEMS,
    "code_side": CODE_SIDES,
    "precision": PRECISIONS,
    "keep": ("best", "last"),
}
_COUNTS = {
    "dim": 1,
    "query_length": 3,
    "document_length": 3,
    "vectors": 1,
    "negatives": 0,
    "batch_size": 1,
    "tokens_per_pass": 1,
    "frozen_layers": 0,
    "epochs": 1,
    "steps": 1,
    "seed": 0,
    "validate_every": 1,
    "checkpoint_every": 1,
}
_POSITIVE = (
    *("temperature", "student_temperature", "teacher_temperature", "bi_encoder_temperature"),
    *("learning_rate", "head_learning_rate", "clip"),
)


def settings_from(values: Mapping[str, Any]) -> TrainSettings:
    """Make settings of names and values.

    Raises:
        InvalidParameter: a name is not known, or a value can't be used.
    """
    known = [field.name for field in dataclasses.fields(TrainSettings)]
    for name in values:
        if name not in known:
            raise InvalidParameter(f"unknown setting {name!r}; known are {', '.join(known)}")
    return TrainSettings(**values)
