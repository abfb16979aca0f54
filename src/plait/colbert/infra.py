"""``colbert.infra``: settings, where they come from, and the folders they name.

A setting that was given counts before one that was not: first ``Run().context``, then the ``config`` of an
Indexer or a Searcher, then what the index was made with, then the defaults. Nothing of this reaches the
library below.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from plait.errors import InvalidParameter

#: Settings that have an effect here, and what they are when nobody gives them.
KNOWN: dict[str, Any] = {
    "root": "experiments",
    "experiment": "default",
    "index_root": None,
    "index_path": None,
    "index_name": None,
    "checkpoint": None,
    "collection": None,
    "queries": None,
    "overwrite": False,
    "nbits": None,
    "doc_maxlen": None,
    "query_maxlen": None,
    "ncells": None,
    "ndocs": None,
}
#: Settings of colbert-ai that have no meaning here. The encoding rules are read from the checkpoint.
WITHOUT_MEANING = frozenset(
    (
        *("name", "rank", "nranks", "amp", "gpus", "avoid_fork_if_possible", "total_visible_gpus"),
        *("query_token_id", "doc_token_id", "query_token", "doc_token", "dim", "mask_punctuation"),
        *("attend_to_mask_tokens", "interaction", "similarity", "model_name", "triples"),
        *("bsize", "accumsteps", "lr", "maxsteps", "save_every", "resume", "warmup", "warmup_bert", "relu"),
        *("nway", "use_ib_negatives", "reranker", "distillation_alpha", "ignore_scores"),
        *("index_bsize", "kmeans_niters", "pool_factor", "clustering_mode", "protected_tokens"),
        *("centroid_score_threshold", "load_index_with_mmap", "partitions"),
    )
)


class ColBERTConfig:
    """Settings by colbert-ai's names; those that were given are remembered as such.

    Raises:
        InvalidParameter: colbert-ai has no such setting.
    """

    def __init__(self, **settings: Any) -> None:
        self.assigned: dict[str, Any] = {}
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Give settings; those without a meaning here are named in one warning."""
        unknown = sorted(set(settings) - KNOWN.keys() - WITHOUT_MEANING)
        if unknown:
            raise InvalidParameter(f"colbert has no setting {', '.join(unknown)}")
        vain = sorted(set(settings) & WITHOUT_MEANING)
        if vain:
            warnings.warn(f"these settings have no meaning in plait: {', '.join(vain)}", stacklevel=3)
        self.assigned.update({key: value for key, value in settings.items() if key in KNOWN})

    def __getattr__(self, name: str) -> Any:
        if name in KNOWN:
            return self.assigned.get(name, KNOWN[name])
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self.assigned.items())
        return f"{type(self).__name__}({given})"

    @classmethod
    def from_existing(cls, *sources: ColBERTConfig | None) -> Self:
        """The given settings of all; of two for one thing, that of the later source."""
        made = cls()
        for source in sources:
            if source is not None:
                made.assigned.update(source.assigned)
        return made

    @property
    def index_root_(self) -> str:
        """The folder that indexes are in: ``root/experiment/indexes``."""
        return str(self.index_root or Path(self.root) / self.experiment / "indexes")

    @property
    def index_path_(self) -> str:
        """The folder of the index ``index_name``."""
        return str(self.index_path or Path(self.index_root_) / str(self.index_name))


class RunConfig(ColBERTConfig):
    """Settings for all that is done inside ``with Run().context(...)``."""


_CURRENT: ContextVar[ColBERTConfig | None] = ContextVar("plait.colbert.run", default=None)


class Run:
    """The settings of the surrounding ``with Run().context(...)``."""

    @property
    def config(self) -> ColBERTConfig:
        """What was given in the contexts around this place."""
        return _CURRENT.get() or RunConfig()

    @contextmanager
    def context(self, runconfig: ColBERTConfig, inherit_config: bool = True) -> Iterator[None]:
        """Let settings hold until the block ends, in this thread or task."""
        outer = self.config if inherit_config else None
        token = _CURRENT.set(ColBERTConfig.from_existing(outer, runconfig))
        try:
            yield
        finally:
            _CURRENT.reset(token)
