"""The bi-encoder: one vector per text, cosine (Reimers and Gurevych, 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn

from plait.encoder.settings import EncoderSettings
from plait.train.interactions import Vectors, max_sim
from plait.train.network import Hidden, Network
from plait.train.settings import TrainSettings
from plait.train.systems.base import (
    make_projection,
    make_transformer,
    model_type,
    prompts_of,
    require_positions,
    text_tokenizer,
    transformer_folder,
)
from plait.train.systems.system import EmbeddingSystem

LENGTH = 256


class BiEncoder(EmbeddingSystem):
    """A ``SentenceTransformer``, in whose layout it is saved."""

    name = "bi-encoder"

    def __init__(self, model: SentenceTransformer, folder: Path | None = None) -> None:
        """Take a model; the tokenizer is read from ``folder``, where it was saved."""
        super().__init__()
        self.model = model
        self.network = Network(model[0].model)
        self.modules_behind = nn.ModuleList(list(model)[1:])
        self.folder = folder
        self.dim = int(model.get_embedding_dimension() or self.network.width)
        prompts = {name: model.prompts.get(name) or "" for name in ("query", "document")}
        self.settings = EncoderSettings(
            name=folder.name if folder else "bi-encoder",
            dim=self.dim,
            query_length=int(model.max_seq_length or LENGTH),
            document_length=int(model.max_seq_length or LENGTH),
            query_prompt=prompts["query"],
            document_prompt=prompts["document"],
        )
        if folder is not None:
            self._tokenizer = text_tokenizer(transformer_folder(folder), self.settings)

    @classmethod
    def start(cls, base: Path, settings: TrainSettings) -> Self:
        """The base with a mean over its outputs; the base itself if it is such a model already."""
        if model_type(base) == "SentenceTransformer":
            model = SentenceTransformer(str(base), device="cpu")
            if settings.dim in (None, model.get_embedding_dimension()):
                require_positions(model[0].model, settings)
                model.max_seq_length = settings.document_length or model.max_seq_length
                model.prompts.update(_asked(prompts_of(settings, model.tokenizer)))
                return cls(model)
        transformer = make_transformer(base, max_seq_length=settings.document_length or LENGTH)
        require_positions(transformer.model, settings)
        width = transformer.model.config.hidden_size
        modules = [transformer, Pooling(width, "mean")]
        if settings.dim is not None and settings.dim != width:
            modules.append(make_projection(width, settings.dim, "sentence_embedding"))
        modules.append(Normalize())
        prompts = _asked(prompts_of(settings, transformer.tokenizer))
        return cls(SentenceTransformer(modules=modules, prompts=prompts, device="cpu"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a ``SentenceTransformer``."""
        return cls(SentenceTransformer(str(folder), device="cpu"), folder)

    def save(self, folder: Path) -> None:
        """Write the layout of sentence-transformers."""
        self.model.save_pretrained(str(folder), create_model_card=False)

    def embed(self, hidden: Hidden, side: str) -> Vectors:
        """One vector per text."""
        del side
        features = {"token_embeddings": hidden.values, "attention_mask": hidden.attended.long()}
        for module in self.modules_behind:
            features = module(features)
        vectors = features["sentence_embedding"][:, None]
        return Vectors(vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device))

    def interact(self, queries: Vectors, documents: Vectors) -> Tensor:
        """Dot products, which is what MaxSim of one vector on each side is."""
        return max_sim(queries, documents)


def _asked(prompts: dict[str, str]) -> dict[str, str]:
    return {side: prompt for side, prompt in prompts.items() if prompt}
