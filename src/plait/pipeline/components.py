"""What the names in a pipeline stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from plait.encoder import packaged_folder
from plait.errors import InvalidParameter, SourceNotFound
from plait.index import Index
from plait.pipeline.protocols import Reranker, Retriever
from plait.pipeline.rerankers import BiEncoderReranker, ColBERTReranker, CrossEncoderReranker, PairScorer
from plait.pipeline.retrievers import BiEncoderRetriever, BM25Retriever, ColBERTRetriever

#: Short names, for typing.
SHORT = {"bi": "bi_encoder", "cross": "cross_encoder"}
_RETRIEVERS: dict[str, Callable[[Index], Retriever]] = {
    "bm25": BM25Retriever,
    "bi_encoder": BiEncoderRetriever,
    "colbert": ColBERTRetriever,
}
_RERANKERS: dict[str, Callable[[Index], Reranker]] = {
    "bi_encoder": BiEncoderReranker,
    "colbert": ColBERTReranker,
}


class Components:
    """Retrievers and rerankers by name: those over an index, a cross-encoder, and the caller's own.

    Each is made once, so that what it keeps serves all pipelines that came from one.
    """

    def __init__(
        self,
        index: Index | None,
        cross_encoder: str | Path | PairScorer | None,
        retrievers: Iterable[Retriever],
        rerankers: Iterable[Reranker],
    ) -> None:
        self.index = index
        self._cross_encoder = cross_encoder
        self._retrievers = {retriever.name: retriever for retriever in retrievers}
        self._rerankers = {reranker.name: reranker for reranker in rerankers}

    def retriever(self, name: str) -> Retriever:
        """The retriever of that name.

        Raises:
            InvalidParameter: there is none, or it needs an index and there is none.
        """
        name = SHORT.get(name, name)
        if name not in self._retrievers and self.index is not None and name in _RETRIEVERS:
            self._retrievers[name] = _RETRIEVERS[name](self.index)
        if name not in self._retrievers:
            known = {*self._retrievers, *(_RETRIEVERS if self.index is not None else ())}
            reason = f"{name} reranks and can't come first" if self._reranks(name) else f"{name} is unknown"
            raise InvalidParameter(f"{reason}; retrievers are {_listed(known)}")
        return self._retrievers[name]

    def reranker(self, name: str) -> Reranker:
        """The reranker of that name.

        Raises:
            InvalidParameter: there is none, or it is a cross-encoder, and none was given or is installed.
        """
        name = SHORT.get(name, name)
        if name not in self._rerankers:
            if name == CrossEncoderReranker.name:
                self._rerankers[name] = CrossEncoderReranker(self._given_cross_encoder())
            elif self.index is not None and name in _RERANKERS:
                self._rerankers[name] = _RERANKERS[name](self.index)
        if name not in self._rerankers:
            known = {
                *self._rerankers,
                CrossEncoderReranker.name,
                *(_RERANKERS if self.index is not None else ()),
            }
            finds = name in self._retrievers or name in _RETRIEVERS
            reason = f"{name} finds documents and must come first" if finds else f"{name} is unknown"
            raise InvalidParameter(f"{reason}; rerankers are {_listed(known)}")
        return self._rerankers[name]

    def load(self) -> None:
        """Load the encoder of the index, if a stage needs it, so that no stage's time holds that."""
        encoding = {"bi_encoder", "colbert"} & {*self._retrievers, *self._rerankers}
        if encoding and self.index is not None:
            _ = self.index.encoder  # loaded at first use

    def _reranks(self, name: str) -> bool:
        return name in self._rerankers or name == CrossEncoderReranker.name

    def _given_cross_encoder(self) -> str | Path | PairScorer:
        if self._cross_encoder is not None:
            return self._cross_encoder
        try:
            return packaged_folder()
        except SourceNotFound as error:
            raise InvalidParameter(
                f"cross_encoder needs a model: Pipeline(index, cross_encoder=...), "
                f".cross_encoder(k, model=...), or --cross-encoder. {error}"
            ) from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none, without an index"
