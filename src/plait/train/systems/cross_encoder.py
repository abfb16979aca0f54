"""The cross-encoder: query and document read together, one number (Nogueira and Cho, 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from plait.encoder.layouts.cross_encoder import read_cross_encoder
from plait.encoder.tokenizer import PairTokenizer
from plait.train.batches import Batch, Ints, pack
from plait.train.network import Network
from plait.train.settings import TrainSettings
from plait.train.systems.base import model_type, require_positions, transformer_folder
from plait.train.systems.system import Outputs, Piece, System

LENGTH = 256
BORROWED = 4
"""In-batch negatives of a group that has none of its own: every pair costs a pass through the network."""


class CrossEncoderSystem(System):
    """A ``CrossEncoder`` of sentence-transformers, in whose layout it is saved. Scores are its logits."""

    name = "cross-encoder"

    def __init__(self, model: CrossEncoder, folder: Path | None = None) -> None:
        """Take a model; the rules for pairs are read from ``folder``, where it was saved."""
        super().__init__()
        self.model = model
        self.classifier = model[0].model
        self.network = Network(getattr(self.classifier, self.classifier.base_model_prefix))
        self.folder = folder
        if folder is not None:
            files = read_cross_encoder(folder)
            self.settings = files.settings
            self._tokenizer = PairTokenizer(files.tokenizer, files.settings.max_length)

    @classmethod
    def start(cls, base: Path, settings: TrainSettings) -> Self:
        """The base with a new classifier of one label, or the base itself if it is a cross-encoder."""
        if model_type(base) == "CrossEncoder":
            model = CrossEncoder(str(base), device="cpu", max_length=settings.document_length)
        else:
            model = CrossEncoder(
                str(transformer_folder(base)),
                num_labels=1,
                max_length=settings.document_length or LENGTH,
                activation_fn=nn.Identity(),
                device="cpu",
            )
        require_positions(model[0].model, settings)
        return cls(model)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a ``CrossEncoder``."""
        return cls(CrossEncoder(str(folder), device="cpu"), folder)

    def save(self, folder: Path) -> None:
        """Write the layout of sentence-transformers, which ``plait.CrossEncoder`` reads."""
        self.model.save_pretrained(str(folder), create_model_card=False)

    def pieces(self, batch: Batch, budget: int, in_batch: bool = True) -> list[Piece]:
        """The pairs of every query and its own documents.

        A query without negatives also gets the positives of the next ``BORROWED`` groups, with ``in_batch``.
        """
        pairs = [(row, int(column)) for row, own in enumerate(batch.own) for column in own[own >= 0]]
        if in_batch:
            pairs += _borrowed(batch)
        queries = [self._tokenizer.start(self.settings.query_prompt + query) for query in batch.queries]
        tokens = [self._tokenizer.pair(queries[row], batch.documents[column]) for row, column in pairs]
        places = np.array(pairs, dtype=np.int64)
        return [
            Piece("pair", places[rows], [tokens[row] for row in rows])
            for rows in pack([len(text.ids) for text in tokens], budget)
        ]

    def run(self, piece: Piece) -> Outputs:
        """The logits of pairs, ``[n]``."""
        network = self.network
        given = {
            "input_ids": network.padded([text.ids for text in piece.texts], network.padding),
            "attention_mask": network.padded([text.attended for text in piece.texts], 0),
        }
        if self.settings.token_types:
            given["token_type_ids"] = network.padded([text.types for text in piece.texts], 0)
        with network.mixed():
            logits = self.classifier(**given).logits
        return (logits.float()[:, 0],)

    def scores(self, batch: Batch, pieces: Sequence[Piece], outputs: Sequence[Outputs]) -> list[Tensor]:
        """The logits where they belong, -inf for all other pairs."""
        logits = torch.cat([output[0] for output in outputs])
        places = torch.from_numpy(np.concatenate([piece.places for piece in pieces])).to(logits.device)
        matrix = logits.new_full((len(batch.queries), len(batch.documents)), -torch.inf)
        return [matrix.index_put((places[:, 0], places[:, 1]), logits)]


def _borrowed(batch: Batch) -> list[tuple[int, int]]:
    """Pairs of queries that have no negatives with positives of other groups."""
    positives: Ints = batch.own[:, 0]
    found = []
    for row, own in enumerate(batch.own):
        if (own >= 0).sum() > 1:
            continue
        others = np.roll(positives, -row - 1)[:BORROWED]
        columns = dict.fromkeys(int(column) for column in others if column != own[0])
        found += [(row, column) for column in columns if not batch.known[row, column]]
    return found
