"""ColBERT: a vector per token, MaxSim (Khattab and Zaharia, 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor, nn

from plait.encoder import read_checkpoint
from plait.errors import InvalidParameter
from plait.train.interactions import Vectors, max_sim
from plait.train.network import Hidden, Network
from plait.train.settings import TrainSettings
from plait.train.systems.base import (
    make_projection,
    make_transformer,
    model_type,
    prompts_of,
    punctuation,
    require_positions,
    text_tokenizer,
)
from plait.train.systems.system import EmbeddingSystem

QUERY_LENGTH = 32
DOCUMENT_LENGTH = 180
DIM = 128


class ColBERT(EmbeddingSystem):
    """A ``MultiVectorEncoder`` of sentence-transformers 6, in whose layout it is saved."""

    name = "colbert"

    def __init__(self, model: MultiVectorEncoder, folder: Path | None = None) -> None:
        """Take a model; the rules for texts are read from ``folder``, where it was saved."""
        super().__init__()
        self.model = model
        self.network = Network(model[0].model)
        self.projections = nn.ModuleList(
            module for module in list(model)[1:] if not isinstance(module, MultiVectorMask)
        )
        self.folder = folder
        if folder is not None:
            checkpoint = read_checkpoint(folder)
            self.settings = checkpoint.settings
            self.dim = self.settings.dim
            self._tokenizer = text_tokenizer(folder, self.settings)

    @classmethod
    def start(cls, base: Path, settings: TrainSettings) -> Self:
        """A ColBERT with a new projection, or the base itself with other settings if it is one."""
        if model_type(base) in ("MultiVectorEncoder", "ColBERT"):
            return cls(_changed(MultiVectorEncoder(str(base), device="cpu"), settings))
        length = settings.query_length or QUERY_LENGTH
        expansion = {"strategy": "fixed", "length": length, "attend": False}
        transformer = make_transformer(
            base,
            query_length=length,
            document_length=settings.document_length or DOCUMENT_LENGTH,
            query_expansion=None if settings.query_expansion is False else expansion,
        )
        require_positions(transformer.model, settings)
        prompts = prompts_of(settings, transformer.tokenizer, "[unused0] ", "[unused1] ")
        words = punctuation(transformer.tokenizer) if settings.skip_punctuation else []
        modules = [
            transformer,
            make_projection(transformer.model.config.hidden_size, settings.dim or DIM),
            MultiVectorMask(skiplist_words=words),
            Normalize(module_input_name="token_embeddings"),
        ]
        return cls(MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a ``MultiVectorEncoder``."""
        return cls(MultiVectorEncoder(str(folder), device="cpu"), folder)

    def save(self, folder: Path) -> None:
        """Write the layout of sentence-transformers 6, which ``plait.load_encoder`` reads."""
        self.model.save_pretrained(str(folder), create_model_card=False)

    def embed(self, hidden: Hidden, side: str) -> Vectors:
        """The projected vectors, of unit length."""
        del side
        features = {"token_embeddings": hidden.values, "attention_mask": hidden.attended}
        for module in self.projections:
            features = module(features)
        return Vectors(features["token_embeddings"], hidden.kept)

    def interact(self, queries: Vectors, documents: Vectors) -> Tensor:
        """MaxSim."""
        return max_sim(queries, documents)

    def pooled(self, hidden: Hidden) -> Tensor:
        """The mean of the network's outputs over the tokens that are attended to, of unit length.

        The filling of a query is not attended to, and has no part in it.
        """
        weights = hidden.attended.unsqueeze(-1).to(hidden.values.dtype)
        return torch.nn.functional.normalize((hidden.values * weights).sum(1) / weights.sum(1), dim=-1)


def _changed(model: MultiVectorEncoder, settings: TrainSettings) -> MultiVectorEncoder:
    """A ColBERT that is trained on, with the lengths and expansion that were asked for."""
    transformer = model[0]
    if settings.dim is not None and settings.dim != model.get_embedding_dimension():
        raise InvalidParameter(
            f"dim is {settings.dim}, but the base is a ColBERT of {model.get_embedding_dimension()}"
        )
    require_positions(transformer.model, settings)
    if settings.document_length is not None:
        transformer.document_length = settings.document_length
    if settings.query_length is not None:
        transformer.query_length = settings.query_length
        if transformer.query_expansion is not None:
            transformer.query_expansion = {**transformer.query_expansion, "length": settings.query_length}
    if settings.query_expansion is False:
        transformer.query_expansion = None
    elif settings.query_expansion and transformer.query_expansion is None:
        length = settings.query_length or transformer.query_length or QUERY_LENGTH
        transformer.query_expansion = {"strategy": "fixed", "length": length, "attend": False}
    if settings.query_prefix is not None or settings.document_prefix is not None:
        model.prompts.update(prompts_of(settings, model.tokenizer))
    return model
