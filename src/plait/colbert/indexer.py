"""``colbert.Indexer``: a collection becomes an index in colbert-ai's folders."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plait.colbert.data import Collection
from plait.colbert.infra import ColBERTConfig, Run
from plait.encoder import load_encoder
from plait.errors import IndexAlreadyExists, InvalidParameter
from plait.index import Index
from plait.store import writing
from plait.store.format import CATALOG

OVERWRITE = (True, False, "reuse", "resume", "force_silent_overwrite")


class Indexer:
    """Makes indexes with one checkpoint.

    Args:
        checkpoint: the folder of a checkpoint or its name on the hub; None for the built-in model.
        config: settings; those of ``Run().context`` count first.
        verbose: is accepted and has no effect.
    """

    def __init__(
        self, checkpoint: str | Path | None, config: ColBERTConfig | None = None, verbose: int = 3
    ) -> None:
        self.index_path: str | None = None
        self.checkpoint = checkpoint
        self.config = ColBERTConfig.from_existing(config, Run().config)
        self.config.assigned["checkpoint"] = checkpoint

    def configure(self, **settings: Any) -> None:
        """Give settings for the indexes that follow."""
        self.config.configure(**settings)

    def get_index(self) -> str | None:
        """The folder of the index that was made last."""
        return self.index_path

    def index(
        self,
        name: str,
        collection: str | Path | Sequence[str] | Collection,
        overwrite: bool | str = False,
    ) -> str:
        """Make the index ``root/experiment/indexes/name``; passages are called by their number.

        Args:
            name: of the index.
            collection: passages, or the path of a ``collection.tsv``.
            overwrite: False refuses if the index is there; True or "force_silent_overwrite" puts the new one
                in its place when it is complete; "reuse" and "resume" keep what is there.

        Returns:
            The folder.

        Raises:
            IndexAlreadyExists, EmptyText, EmptyCorpus, CheckpointError, InvalidParameter.
        """
        if overwrite not in OVERWRITE:
            raise InvalidParameter(f"overwrite must be one of {OVERWRITE}, not {overwrite!r}")
        self.config.assigned["index_name"] = name
        self.index_path = self.config.index_path_
        path = Path(self.index_path)
        if path.exists() and any(path.iterdir()):
            if overwrite is False:
                raise IndexAlreadyExists(f"{path} exists already: give overwrite=True, or another name")
            if overwrite in ("reuse", "resume"):
                return self.index_path
            _require_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._build(path, Collection.cast(collection))
        return self.index_path

    def _build(self, path: Path, collection: Collection) -> None:
        """Beside the place where it belongs, until it is complete."""
        beside = path.with_name(path.name + ".new")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            lengths = {"query_maxlen": self.config.query_maxlen, "doc_maxlen": self.config.doc_maxlen}
            with Index.create(beside, self.checkpoint, nbits=self.config.nbits) as made:
                encoder = load_encoder(
                    self.checkpoint,
                    query_length=lengths["query_maxlen"],
                    document_length=lengths["doc_maxlen"],
                )
            with Index.open(beside, model=encoder) as made:
                made.add(list(collection), ids=[str(pid) for pid in range(len(collection))])
            with writing(beside) as writer:
                writer.catalog.set_setting("colbert", lengths)
            shutil.rmtree(path, ignore_errors=True)
            beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _require_replaceable(path: Path) -> None:
    """Only an index is ever removed."""
    if not (path / CATALOG).is_file():
        raise IndexAlreadyExists(f"{path} holds something else than a plait index, and is not overwritten")
