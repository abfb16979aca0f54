"""``colbert.Searcher``: an index in colbert-ai's folders is asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.colbert.data import Collection, Passage, Queries, Ranking, number_if_it_is
from plait.colbert.infra import ColBERTConfig, Run
from plait.encoder import Encoder, load_encoder
from plait.errors import ForeignIndexWarning, InvalidParameter
from plait.importers import colbert_ai, import_index
from plait.index import Index
from plait.search import SearchParams
from plait.types import FloatArray, Hit

Filter = Callable[[npt.NDArray[np.int64]], Iterable[int]]


class Results(list[Hit]):
    """The hits of one query, best first.

    Each unpacks to (passage_id, rank, score); ``hit.text`` and ``hit.metadata`` are there too.
    """

    def as_lists(self) -> tuple[list[Any], list[int], list[float]]:
        """Passage ids, ranks and scores in three lists: what colbert-ai's ``search`` returns."""
        return [hit.id for hit in self], [hit.rank for hit in self], [hit.score for hit in self]


class Searcher:
    """Asks the index ``root/experiment/indexes/INDEX``.

    If an index of colbert-ai is there, it is taken over into a folder beside it (``INDEX.plait``) at first.

    Args:
        index: its name.
        checkpoint: where the checkpoint is, if the index does not tell or it has moved.
        collection: the passages, or the path of a ``collection.tsv``, of an index that does not hold them.
        config: settings; those of ``Run().context`` count first.
        index_root: the folder that the index is in.
        verbose: is accepted and has no effect.

    Attributes:
        index: the path of the index.
        collection: passage number -> text.
        config: the settings.
    """

    def __init__(
        self,
        index: str | Path,
        checkpoint: str | Path | None = None,
        collection: str | Path | Sequence[str] | None = None,
        config: ColBERTConfig | None = None,
        index_root: str | Path | None = None,
        verbose: int = 3,
    ) -> None:
        self.config = ColBERTConfig.from_existing(config, Run().config)
        path = Path(index_root or self.config.index_root_) / index
        texts = collection if collection is not None else self.config.collection
        self._opened = Index.open(_taken_over(path, texts))
        self.index = str(path)
        self._use_model(checkpoint)
        self.collection = _Texts(self._opened) if collection is None else Collection.cast(collection)

    def _use_model(self, checkpoint: str | Path | None) -> None:
        """The encoder, with the lengths that were given here or when the index was made."""
        opened, kept = self._opened, self._opened.setting("colbert") or {}
        query_length = self.config.query_maxlen or kept.get("query_maxlen")
        record = opened.setting("encoder")
        if checkpoint is None and (record is None or query_length is None):
            return
        place = checkpoint if checkpoint is not None else (record or {}).get("path")
        model: Encoder = load_encoder(
            place, query_length=query_length, document_length=kept.get("doc_maxlen")
        )
        self._opened = Index.open(opened.path, model=model)
        opened.close()

    def configure(self, **settings: Any) -> None:
        """Give settings for the searches that follow."""
        self.config.configure(**settings)

    def encode(self, text: str | Sequence[str], full_length_search: bool = False) -> FloatArray:
        """Token vectors f32 ``[queries, ntokens, dim]`` of one query or several of the same length."""
        _warn_of(full_length_search=full_length_search)
        encoder = self._opened.encoder
        if encoder is None:
            raise InvalidParameter(f"{self.index} has no encoder: give checkpoint= to the Searcher")
        texts = [text] if isinstance(text, str) else list(text)
        return np.stack(list(encoder.encode_queries(texts)))

    def search(
        self,
        text: str,
        k: int = 10,
        filter_fn: Filter | None = None,
        full_length_search: bool = False,
        pids: Iterable[int] | None = None,
    ) -> Results:
        """The best ``k`` passages: exactly that many, if the index has them.

        Args:
            text: the query.
            k: passages wanted.
            filter_fn: is given the numbers of all passages, i64 ``[n]``, and returns those that may be found.
            full_length_search: has no meaning here.
            pids: only these passages are scored.
        """
        _warn_of(full_length_search=full_length_search)
        return self._ask(text, k, filter_fn, pids)

    def dense_search(
        self,
        Q: npt.ArrayLike,  # noqa: N803  # colbert-ai's name
        k: int = 10,
        filter_fn: Filter | None = None,
        pids: Iterable[int] | None = None,
    ) -> Results:
        """As ``search``, with the query's token vectors ``[nq, dim]`` or ``[1, nq, dim]``."""
        vectors = np.asarray(Q, dtype=np.float32)
        return self._ask(
            vectors[0] if vectors.ndim == 3 and len(vectors) == 1 else vectors, k, filter_fn, pids
        )

    def search_all(
        self,
        queries: str | Path | Sequence[str] | Mapping[Any, str] | Queries,
        k: int = 10,
        filter_fn: Filter | None = None,
        full_length_search: bool = False,
        qid_to_pids: Mapping[Any, Iterable[int]] | None = None,
    ) -> Ranking:
        """Search with all queries.

        Args:
            queries: query id -> text, a list, or the path of a file of ``id<TAB>query`` lines.
            k, filter_fn, full_length_search: as for ``search``.
            qid_to_pids: for each query the only passages that are scored.
        """
        _warn_of(full_length_search=full_length_search)
        asked = Queries.cast(queries)
        if qid_to_pids is not None:
            found = [self._ask(text, k, filter_fn, qid_to_pids[qid]) for qid, text in asked.items()]
        else:
            ids = self._allowed(filter_fn, None)
            hits = self._opened.search_all(list(asked.values()), k, ids=ids, params=self._params(k))
            found = [_passages(one) for one in hits]
        data: dict[Any, list[Passage]] = {
            qid: [(hit.id, hit.rank, hit.score) for hit in one] for qid, one in zip(asked, found, strict=True)
        }
        return Ranking(data=data)

    def close(self) -> None:
        """Let go of the index's files."""
        self._opened.close()

    def _ask(
        self, query: str | FloatArray, k: int, filter_fn: Filter | None, pids: Iterable[int] | None
    ) -> Results:
        ids = self._allowed(filter_fn, pids)
        return _passages(self._opened.search(query, k, ids=ids, params=self._params(k)))

    def _params(self, k: int) -> SearchParams | None:
        """How far to look: plait's own choice, but for what was given by colbert-ai's names."""
        ncells, ndocs = self.config.ncells, self.config.ndocs
        given = {} if ncells is None else {"nprobe": ncells}
        if ndocs is not None:  # of which colbert-ai rescores a quarter
            given |= {"ncandidates": max(k, ndocs), "ndocs": max(1, ndocs // 4)}
        return replace(SearchParams.for_k(k, len(self._opened)), **given) if given else None

    def _allowed(self, filter_fn: Filter | None, pids: Iterable[int] | None) -> list[str] | None:
        if filter_fn is None:
            return None if pids is None else [str(pid) for pid in pids]
        numbers = pids if pids is not None else map(number_if_it_is, self._opened.ids())
        return [str(pid) for pid in filter_fn(np.array(list(numbers)))]


class _Texts(Sequence[str]):
    """The passages that an index holds, by their number."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, pid: Any) -> Any:
        document = self._index.get(str(pid))
        if document is None or document.text is None:
            raise IndexError(f"{self._index.path} holds no text of the passage {pid}: give collection=")
        return document.text


def _passages(hits: Iterable[Hit]) -> Results:
    return Results(_numbered(hit) for hit in hits)


def _numbered(hit: Hit) -> Hit:
    return replace(hit, id=number_if_it_is(hit.id))  # type: ignore[arg-type]  # as colbert-ai has it


def _taken_over(path: Path, texts: Any) -> Path:
    """The plait index that stands for ``path``."""
    if not path.is_dir() or not colbert_ai.recognise(path):
        return path
    beside = path.with_name(f"{path.name}.plait")
    if not beside.exists():
        warnings.warn(
            f"{path} is an index of colbert-ai: it is taken over into {beside}",
            ForeignIndexWarning,
            stacklevel=3,
        )
        import_index(path, beside, texts=texts).close()
    return beside


def _warn_of(**arguments: object) -> None:
    vain = sorted(name for name, value in arguments.items() if value)
    if vain:
        warnings.warn(f"these arguments have no meaning in plait: {', '.join(vain)}", stacklevel=3)
