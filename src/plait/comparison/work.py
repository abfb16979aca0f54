"""The folder in which a comparison works: what it holds can be used again, and belongs to one corpus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plait.errors import InvalidParameter
from plait.types import TokenEmbeddings

_STATE, _RESULTS = "comparison.json", "results"
_INDEX, _WORDS, _VECTORS = "index", "words", "vectors"
_ARRAYS = ("vectors", "doclens", "pooled")


class Work:
    """A work folder.

    Args:
        folder: made if it is not there.
        key: what everything in it depends on: the documents, the encoder, how the index is made.
        lasting: whether it will be used again.

    Raises:
        InvalidParameter: the folder holds something else, or what was made with another key.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], *, lasting: bool = True) -> None:
        self.folder = folder
        self._lasting = lasting
        folder.mkdir(parents=True, exist_ok=True)
        self._state: dict[str, Any] = {"key": dict(key)}
        path = folder / _STATE
        if path.exists():
            self._state = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name, value in key.items() if self._state["key"].get(name) != value]
            if changed:
                raise InvalidParameter(
                    f"{folder} holds a comparison with another {' and another '.join(changed)}: "
                    f"choose another work folder, or remove it"
                )
        elif any(folder.iterdir()):
            raise InvalidParameter(
                f"{folder} is not empty, and no work folder of a comparison: choose another"
            )
        else:
            self.record()

    @property
    def index(self) -> Path:
        """Where the index is."""
        return self.folder / _INDEX

    @property
    def words(self) -> Path:
        """Where an index of words alone is."""
        return self.folder / _WORDS

    def fact(self, name: str) -> Any:
        """What was recorded under a name, or None."""
        return self._state.get(name)

    def record(self, **facts: Any) -> None:
        """Keep facts, which JSON can hold."""
        self._state |= facts
        _write(self.folder / _STATE, self._state)

    def result(self, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was measured before, of exactly this; None if it was not."""
        path = self._result(about)
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def keep(self, about: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep what was measured."""
        path = self._result(about)
        path.parent.mkdir(exist_ok=True)
        _write(path, result)

    def _result(self, about: Mapping[str, Any]) -> Path:
        text = json.dumps(about, sort_keys=True)
        return self.folder / _RESULTS / f"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.json"

    def vectors(self) -> TokenEmbeddings | None:
        """The documents' vectors, if they are kept here: not in memory, but mapped."""
        if not self.fact("vectors"):
            return None
        found = {
            name: np.load(path, mmap_mode="r")
            for name in _ARRAYS
            if (path := self.folder / _VECTORS / f"{name}.npy").exists()
        }
        return TokenEmbeddings(**found)

    def keep_vectors(self, documents: TokenEmbeddings, seconds: list[float]) -> None:
        """Keep the documents' vectors, which took so long to encode, if they can be of use again."""
        if not self._lasting:
            self.record(encode_seconds=seconds)
            return
        (self.folder / _VECTORS).mkdir(exist_ok=True)
        for name in _ARRAYS:
            array = getattr(documents, name, None)
            if array is not None:
                np.save(self.folder / _VECTORS / f"{name}.npy", array)
        self.record(vectors=True, encode_seconds=seconds)


def _write(path: Path, value: Any) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    unfinished.replace(path)
