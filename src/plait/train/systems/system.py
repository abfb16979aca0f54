"""What all systems have in common: they score documents for a query, can be trained, and are saved."""

from __future__ import annotations

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from plait.encoder import check_texts
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import TextTokenizer, TokenizedText
from plait.train.batches import Batch, Ints, pack
from plait.train.interactions import Vectors
from plait.train.network import Hidden, Network
from plait.train.settings import TrainSettings
from plait.types import FloatArray, TokenEmbeddings

PIECE_TOKENS = 8192
"""Padded tokens that go through a network at once, outside training."""

Outputs = tuple[Tensor, ...]
"""What a system makes of one piece: first what gradients flow through, then masks."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Texts that go through the network together.

    Attributes:
        side: "query", "document" or "pair".
        places: i64, which queries or columns of the batch they are ``[n]``, or pairs of both ``[n, 2]``.
        texts: their tokens.
    """

    side: str
    places: Ints
    texts: Sequence[Any]


class System(nn.Module, ABC):
    """A system: trained by ``train``, used by ``score``.

    Attributes:
        name: as in ``settings.SYSTEMS``.
        network: the transformer.
        settings: the rules by which texts are read.
        folder: where it was loaded from; None for one that is new.
    """

    name: ClassVar[str]
    network: Network
    settings: Any
    folder: Path | None = None

    @classmethod
    @abstractmethod
    def start(cls, base: Path, settings: TrainSettings) -> Self:
        """Make one from a base, with new weights where the base has none."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read one that was saved."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it to a folder."""

    @abstractmethod
    def pieces(self, batch: Batch, budget: int, in_batch: bool = True) -> list[Piece]:
        """Cut the texts of a batch in pieces of at most ``budget`` padded tokens."""

    @abstractmethod
    def run(self, piece: Piece) -> Outputs:
        """Run one piece through the network."""

    @abstractmethod
    def scores(self, batch: Batch, pieces: Sequence[Piece], outputs: Sequence[Outputs]) -> list[Tensor]:
        """Scores ``[q, d]`` of the batch's queries and columns, -inf where a pair was not run.

        There may be a second matrix: that of the bi-encoder beside a ColBERT.
        """

    def train(self, mode: bool = True) -> Self:
        """Set training mode; what is frozen stays without dropout."""
        super().train(mode)
        self.network.train(mode)
        return self

    def heads(self) -> list[nn.Parameter]:
        """What is trained and is not of the network's own."""
        body = {id(parameter) for parameter in self.network.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in body]

    def batch_scores(
        self, batch: Batch, in_batch: bool = False, after_piece: Callable[[int, int], None] | None = None
    ) -> FloatArray:
        """``scores`` as f32, for use: without dropout and gradients."""
        mode = self.training
        self.eval()
        try:
            pieces = self.pieces(batch, PIECE_TOKENS, in_batch)
            outputs = []
            with torch.no_grad():
                for done, piece in enumerate(pieces, start=1):
                    outputs.append(self.run(piece))
                    if after_piece is not None:
                        after_piece(done, len(pieces))
                scores = self.scores(batch, pieces, outputs)[0]
            return np.asarray(scores.cpu().numpy(), dtype=np.float32)
        finally:
            self.train(mode)

    def score(self, query: str, texts: Sequence[str]) -> FloatArray:
        """How well each text answers a query; higher is better.

        Args:
            query: the query.
            texts: the texts.

        Returns:
            f32 ``[n]``, in order of the texts.

        Raises:
            EmptyText: the query or a text is empty or only white space.
            InvalidParameter: ``texts`` is no list of strings.
        """
        (query,) = check_texts([query], "query")
        checked = check_texts(texts, "texts")
        if not checked:
            return np.empty(0, dtype=np.float32)
        own = np.arange(len(checked))[None]
        known = np.zeros((1, len(checked)), dtype=np.bool_)
        batch = Batch([query], checked, own, known, np.zeros((1, len(checked)), dtype=np.float32))
        scores: FloatArray = self.batch_scores(batch)[0]
        return scores

    @functools.cached_property
    def fingerprint(self) -> str:
        """64 hex digits that stand for the weights and the rules."""
        digest = hashlib.sha256(repr(self.rules()).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def rules(self) -> Any:
        """What beside the weights decides the scores; its ``repr`` is compared."""
        return self.settings


class EmbeddingSystem(System):
    """A system that makes vectors of queries and of documents apart, and scores by them."""

    dim: int
    settings: EncoderSettings
    _tokenizer: TextTokenizer

    def tokenize(self, side: str, text: str) -> TokenizedText:
        """Tokens of a query or a document, by plait's own rules, which are those of the saved checkpoint."""
        return self._tokenizer.query(text) if side == "query" else self._tokenizer.document(text)

    @abstractmethod
    def embed(self, hidden: Hidden, side: str) -> Vectors:
        """The vectors that a piece's texts are scored by."""

    @abstractmethod
    def interact(self, queries: Vectors, documents: Vectors) -> Tensor:
        """Scores ``[q, d]`` of all queries and one piece of documents."""

    def pooled(self, hidden: Hidden) -> Tensor | None:
        """A second, single vector of each text, ``[n, width]``; None where there is none."""
        del hidden
        return None

    def pieces(self, batch: Batch, budget: int, in_batch: bool = True) -> list[Piece]:
        """Queries and documents apart; each text once."""
        del in_batch  # vectors of all texts are there anyway
        found: list[Piece] = []
        for side, texts in (("query", batch.queries), ("document", batch.documents)):
            tokens = [self.tokenize(side, text) for text in texts]
            found.extend(
                Piece(side, places, [tokens[place] for place in places])
                for places in pack([len(text.ids) for text in tokens], budget)
            )
        return found

    def run(self, piece: Piece) -> Outputs:
        """The vectors of a piece (and pooled ones), and which of them are there."""
        hidden = self.network(piece.texts)
        vectors = self.embed(hidden, piece.side)
        pooled = self.pooled(hidden)
        return (vectors.values, *(() if pooled is None else (pooled,)), vectors.kept)

    def scores(self, batch: Batch, pieces: Sequence[Piece], outputs: Sequence[Outputs]) -> list[Tensor]:
        """Every query with every column."""
        asked = [place for place, piece in enumerate(pieces) if piece.side == "query"]
        searched = [place for place in range(len(pieces)) if place not in asked]
        rows = _back(torch.cat([torch.from_numpy(pieces[place].places) for place in asked]))
        columns = _back(torch.cat([torch.from_numpy(pieces[place].places) for place in searched]))
        queries = _joined([Vectors(outputs[place][0], outputs[place][-1]) for place in asked], rows)
        documents = (Vectors(outputs[place][0], outputs[place][-1]) for place in searched)
        device = queries.values.device
        found = [torch.cat([self.interact(queries, piece) for piece in documents], 1)[:, columns.to(device)]]
        if len(outputs[0]) == 3:
            one = torch.cat([outputs[place][1] for place in asked])[rows.to(device)]
            other = torch.cat([outputs[place][1] for place in searched])[columns.to(device)]
            found.append(one @ other.T)
        return found

    def encode_queries(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Any = None
    ) -> TokenEmbeddings:
        """The vectors of queries; so an index takes this system as its ``model``."""
        del threads
        return self._encode("query", check_texts(texts, "queries"), progress)

    def encode_documents(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Any = None
    ) -> TokenEmbeddings:
        """The vectors of documents."""
        del threads
        return self._encode("document", check_texts(texts, "texts"), progress)

    def _encode(self, side: str, texts: list[str], progress: Any) -> TokenEmbeddings:
        self.eval()
        tokens = [self.tokenize(side, text) for text in texts]
        found: dict[int, FloatArray] = {}
        for places in pack([len(text.ids) for text in tokens], PIECE_TOKENS):
            with torch.no_grad():
                vectors = self.embed(self.network([tokens[place] for place in places]), side)
            values, kept = vectors.values.cpu().numpy(), vectors.kept.cpu().numpy()
            for row, place in enumerate(places):
                found[int(place)] = values[row][kept[row]]
            if progress is not None:
                progress(len(found), len(texts))
        return TokenEmbeddings.from_list([found[place] for place in range(len(texts))], dim=self.dim)


def _back(places: Tensor) -> Tensor:
    """Where each place stands in a row of places."""
    back = torch.empty_like(places)
    back[places] = torch.arange(len(places))
    return back


def _joined(pieces: Sequence[Vectors], order: Tensor) -> Vectors:
    """All pieces padded to the same length, in this order."""
    longest = max(piece.values.shape[1] for piece in pieces)
    values, kept = [], []
    for piece in pieces:
        missing = longest - piece.values.shape[1]
        values.append(nn.functional.pad(piece.values, (0, 0, 0, missing)))
        kept.append(nn.functional.pad(piece.kept, (0, missing)))
    order = order.to(values[0].device)
    return Vectors(torch.cat(values)[order], torch.cat(kept)[order])
