"""What an encoder does to a text before and after the network: read from ``encoder.json`` and checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.encoder.json_file import read_json
from plait.errors import CheckpointError

FORMAT_VERSION = 1
LONGEST = 32_768
WIDEST = 65_536
SKIPLIST_MATCHES = ("word", "first_token", "both")
_FLAGS = (
    "query_expansion",
    "attend_to_expansion_tokens",
    "normalise",
    "strip",
    "skiplist_in_queries",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """ColBERT's encoding rules as values (Khattab and Zaharia, 2020, section 3.2).

    Attributes:
        name: what the encoder is called; it is kept in every index made with it.
        dim: components per token vector.
        query_length: the most tokens of a query, special tokens and marker included.
        document_length: the most tokens of a document, special tokens and marker included.
        query_prefix: the marker token put after the first token of a query, or None for no marker.
        document_prefix: the same for documents.
        query_expansion: whether a query is filled up to ``query_length`` with ``mask_token``; the vectors
            of the filling take part in MaxSim ("query augmentation").
        attend_to_expansion_tokens: whether the query's own tokens see the filling.
        mask_token: the token that fills queries; needed only with ``query_expansion``.
        skiplist_words: words, usually punctuation, whose vectors are left out of documents.
        normalise: whether vectors are scaled to unit length (cosine similarity).
        query_prompt: text put before each query; it is tokenised with it, and counts in its length.
        document_prompt: the same for documents.
        strip: whether white space around a text is taken away first, as sentence-transformers does.
        query_expansion_length: up to how many tokens queries are filled, if not up to ``query_length``.
        skiplist_match: which tokens a skiplist word stands for: "word", the token that is written so;
            "first_token", the first one that the word is cut into (the authors' code); or "both".
        skiplist_in_queries: whether the skiplist holds for queries too.
        pooled_dim: components of the graph's second output ``pooled``, one vector for each whole text (that
            of a bi-encoder, Reimers and Gurevych, 2019); None if the graph has no such output, and the mean
            of the token vectors stands for it.
    """

    name: str
    dim: int
    query_length: int
    document_length: int
    query_prefix: str | None = None
    document_prefix: str | None = None
    query_expansion: bool = False
    attend_to_expansion_tokens: bool = False
    mask_token: str | None = None
    skiplist_words: tuple[str, ...] = ()
    normalise: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    strip: bool = False
    query_expansion_length: int | None = None
    skiplist_match: str = "both"
    skiplist_in_queries: bool = False
    pooled_dim: int | None = None

    def __post_init__(self) -> None:
        """Check every value; raises CheckpointError that begins with the key's name."""
        _require_text("name", self.name)
        _require_count("dim", self.dim, 1, WIDEST)
        _require_count("query_length", self.query_length, 3, LONGEST)
        _require_count("document_length", self.document_length, 3, LONGEST)
        for key in ("query_prefix", "document_prefix", "mask_token"):
            if getattr(self, key) is not None:
                _require_text(key, getattr(self, key))
        self._check_kinds()
        for word in self.skiplist_words:
            _require_text("skiplist_words", word)
        if self.skiplist_match not in SKIPLIST_MATCHES:
            known = ", ".join(SKIPLIST_MATCHES)
            raise CheckpointError(f"skiplist_match must be one of {known}, not {self.skiplist_match!r}")
        if self.query_expansion and self.mask_token is None:
            raise CheckpointError(
                "query_expansion is true, but mask_token is missing: name the token to fill with"
            )
        if self.attend_to_expansion_tokens and not self.query_expansion:
            raise CheckpointError("attend_to_expansion_tokens is true, but query_expansion is false")
        if self.query_expansion_length is not None:
            _require_count("query_expansion_length", self.query_expansion_length, 3, self.query_length)
        if self.pooled_dim is not None:
            _require_count("pooled_dim", self.pooled_dim, 1, WIDEST)

    def _check_kinds(self) -> None:
        for key in ("query_prompt", "document_prompt"):
            if not isinstance(getattr(self, key), str):
                raise CheckpointError(f"{key} must be a string, not {getattr(self, key)!r}")
        for key in _FLAGS:
            if not isinstance(getattr(self, key), bool):
                raise CheckpointError(f"{key} must be true or false, not {getattr(self, key)!r}")

    @property
    def filled_length(self) -> int:
        """Up to how many tokens queries are filled: 0 without expansion."""
        if not self.query_expansion:
            return 0
        return self.query_expansion_length or self.query_length


def read_settings(path: Path) -> EncoderSettings:
    """Read ``encoder.json``.

    Raises:
        CheckpointError: it is missing, is not JSON, has an unknown key or a value that can't be used; the
            message names the file and the key.
    """
    values = read_json(path)
    try:
        return settings_from(values)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def write_settings(settings: EncoderSettings, path: Path) -> None:
    """Write ``encoder.json``, without the values that are the default."""
    values: dict[str, Any] = {"format_version": FORMAT_VERSION}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            values[field.name] = list(value) if isinstance(value, tuple) else value
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def settings_from(values: Any) -> EncoderSettings:
    """Make settings from the parsed ``encoder.json``; raises CheckpointError that names the key."""
    if not isinstance(values, Mapping):
        raise CheckpointError(f"must hold a JSON object, not {type(values).__name__}")
    version = values.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise CheckpointError(
            f"format_version is {version!r}, but this plait reads {FORMAT_VERSION}; "
            f"a newer plait may be needed"
        )
    fields = {field.name: field for field in dataclasses.fields(EncoderSettings)}
    given = {key: value for key, value in values.items() if key != "format_version"}
    for key in given:
        if key not in fields:
            raise CheckpointError(f"unknown key {key!r}; known are {', '.join(fields)}")
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in given:
            raise CheckpointError(f"the key {key!r} is missing")
    words = given.get("skiplist_words", [])
    if not isinstance(words, list):
        raise CheckpointError(f"skiplist_words must be a list of strings, not {words!r}")
    return EncoderSettings(**{**given, "skiplist_words": tuple(words)})


def _require_text(key: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise CheckpointError(f"{key} must be a string that is not empty, not {value!r}")


def _require_count(key: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise CheckpointError(f"{key} must be a whole number from {least} to {most}, not {value!r}")
