"""From a text to the token ids that the network sees, and which of their vectors are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from plait.encoder.json_file import JsonFile
from plait.encoder.settings import EncoderSettings
from plait.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Ints = npt.NDArray[np.int64]

CHARACTERS_PER_TOKEN = 16
"""A long text is first cut to this many characters per wanted token; more are read if that is too few."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedText:
    """One text as the network sees it.

    Attributes:
        ids: i64 ``[n]``, token ids.
        attended: i64 ``[n]``, 1 where a token may be seen by the others, else 0.
        kept: bool ``[n]``, whose vectors the encoder gives back.
        types: i64 ``[n]``, which of two texts each token is of (0 or 1); None if there is one text.
    """

    ids: Ints
    attended: Ints
    kept: npt.NDArray[np.bool_]
    types: Ints | None = None


class TextTokenizer:
    """ColBERT's rules around a ``tokenizers.Tokenizer``. Safe to use from several threads.

    A text is cut so that, with its special tokens and its marker, it has at most ``query_length`` or
    ``document_length`` tokens; the marker is then put at position 1 (Khattab and Zaharia, 2020, section 3.2;
    ``colbert/modeling/tokenization`` in the authors' code).
    """

    def __init__(self, path: Path, settings: EncoderSettings) -> None:
        """Read ``tokenizer.json`` and look up the tokens that the settings name.

        Raises:
            CheckpointError: the file can't be read, or a token is not in its vocabulary.
        """
        self._tokenizer = read_tokenizer(path)
        self._settings = settings
        self._special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._cuts_words_apart = _cuts_words_apart(self._tokenizer)
        self._query_marker = self._id_of("query_prefix", settings.query_prefix, path)
        self._document_marker = self._id_of("document_prefix", settings.document_prefix, path)
        self._mask = self._id_of("mask_token", settings.mask_token, path)
        self._skipped = self._skiplist_ids()
        for key in ("query_length", "document_length"):
            if getattr(settings, key) < self._special + 2:
                raise CheckpointError(
                    f"{key} is {getattr(settings, key)}, but the special tokens and a marker alone "
                    f"take {self._special + 1}"
                )

    @property
    def skipped(self) -> frozenset[int]:
        """The token ids that the skiplist leaves out of documents."""
        return frozenset(self._skipped.tolist())

    def query(self, text: str) -> TokenizedText:
        """Tokens of a query, filled with ``mask_token`` when the settings say so; all vectors are kept.

        Only with ``skiplist_in_queries`` the vectors of skiplist words are not.
        """
        settings = self._settings
        own = self._ids(settings.query_prompt, text, settings.query_length, self._query_marker)
        filling = max(0, settings.filled_length - len(own))
        ids = np.full(len(own) + filling, self._mask if filling else 0, dtype=np.int64)
        ids[: len(own)] = own
        attended = np.ones(len(ids), dtype=np.int64)
        if not settings.attend_to_expansion_tokens:
            attended[len(own) :] = 0
        kept = np.ones(len(ids), dtype=np.bool_)
        if settings.skiplist_in_queries:
            kept = ~np.isin(ids, self._skipped)
        return TokenizedText(ids, attended, kept)

    def document(self, text: str) -> TokenizedText:
        """Tokens of a document; the vectors of skiplist words are not kept."""
        settings = self._settings
        ids = self._ids(settings.document_prompt, text, settings.document_length, self._document_marker)
        return TokenizedText(ids, np.ones(len(ids), dtype=np.int64), ~np.isin(ids, self._skipped))

    def _ids(self, prompt: str, text: str, length: int, marker: int | None) -> Ints:
        """At most ``length`` ids: the tokeniser's own form, with the marker put at position 1."""
        limit = length if marker is None else length - 1
        whole = prompt + text
        encoding = self._encode(whole.strip() if self._settings.strip else whole, limit - self._special)
        ids = np.array(encoding.ids, dtype=np.int64)
        return ids if marker is None else np.insert(ids, 1, marker)

    def _encode(self, text: str, limit: int) -> Encoding:
        """The text's first ``limit`` tokens between special tokens."""
        encoding = _encoded_start(self._tokenizer, text, limit, self._cuts_words_apart)
        encoding.truncate(limit)
        return self._tokenizer.post_process(encoding)

    def _id_of(self, key: str, token: str | None, path: Path) -> int | None:
        if token is None:
            return None
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointError(f"{key} is {token!r}, which is not in the vocabulary of {path}")
        return int(found)

    def _skiplist_ids(self) -> Ints:
        """What ColBERT's variants skip: the word itself, the first token that it is cut into, or both.

        A word that the vocabulary lacks is cut into the unknown token. That one is never skipped: every word
        of the document that the vocabulary lacks would go with it.
        """
        found: set[int | None] = set()
        for word in self._settings.skiplist_words:
            if self._settings.skiplist_match != "first_token":
                found.add(self._tokenizer.token_to_id(word))
            if self._settings.skiplist_match != "word":
                found.update(self._tokenizer.encode(word, add_special_tokens=False).ids[:1])
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        found -= {None, self._tokenizer.token_to_id(unknown) if unknown else None}
        return np.array(sorted(token for token in found if token is not None), dtype=np.int64)


class PairTokenizer:
    """A query and a text as one row of tokens, for a cross-encoder. Safe to use from several threads.

    Where both together have too many tokens, the longer one is cut first (``longest_first`` in transformers).
    """

    def __init__(self, path: Path, max_length: int) -> None:
        """Read ``tokenizer.json``.

        Raises:
            CheckpointError: the file can't be read, or ``max_length`` leaves no room beside special tokens.
        """
        self._tokenizer = read_tokenizer(path)
        self._cuts_words_apart = _cuts_words_apart(self._tokenizer)
        self._max_length = max_length
        special = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        if max_length < special + 2:
            raise CheckpointError(
                f"{path}: max_length is {max_length}, but the special tokens of a pair alone take {special}"
            )
        self._pairs = read_tokenizer(path)  # another one, since this one cuts whatever it is given
        self._pairs.enable_truncation(max_length, strategy="longest_first")

    def start(self, text: str) -> Encoding:
        """The tokens of one text of a pair, at least as many as a pair has; without special ones."""
        return _encoded_start(self._tokenizer, text, self._max_length, self._cuts_words_apart)

    def pair(self, query: Encoding, text: str) -> TokenizedText:
        """The tokens of a query, as ``start`` gives them, and a text."""
        encoding = self._pairs.post_process(query, self.start(text))
        ids = np.array(encoding.ids, dtype=np.int64)
        ones = np.ones(len(ids), dtype=np.int64)
        return TokenizedText(ids, ones, ones.astype(np.bool_), np.array(encoding.type_ids, dtype=np.int64))


def _encoded_start(tokenizer: Tokenizer, text: str, limit: int, cuts_words_apart: bool) -> Encoding:
    """At least the first ``limit`` tokens of a text, without reading all of a long one; no special ones."""
    window = limit * CHARACTERS_PER_TOKEN
    while True:
        start = _start_of(text, window) if cuts_words_apart else text
        encoding = tokenizer.encode(start, add_special_tokens=False)
        if len(start) == len(text) or len(encoding) >= limit:
            return encoding
        window *= 4


def _start_of(text: str, window: int) -> str:
    """The text up to the last blank within ``window`` characters.

    When words are tokenised apart from each other, the start has the tokens that the whole text begins with.
    """
    blank = -1 if len(text) <= window else text.rfind(" ", 0, window)
    return text if blank <= 0 else text[:blank]


def read_tokenizer(path: Path) -> Tokenizer:
    """Read ``tokenizer.json``, or BERT's ``vocab.txt``, without its padding and truncation.

    Raises:
        CheckpointError: the file can't be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = _bert_tokenizer(path) if path.suffix == ".txt" else Tokenizer.from_file(str(path))
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: can't be read as a tokenizer ({error})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _bert_tokenizer(vocabulary: Path) -> Tokenizer:
    """BERT's tokeniser from its list of words; ``tokenizer_config.json`` beside it says whether it lowers
    case.
    """
    from tokenizers import Tokenizer
    from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

    settings = vocabulary.with_name("tokenizer_config.json")
    lowercase = JsonFile.read(settings).flag("do_lower_case", True) if settings.is_file() else True
    built = BertWordPieceTokenizer(str(vocabulary), lowercase=lowercase)
    return Tokenizer.from_str(built.to_str())


def _cuts_words_apart(tokenizer: Tokenizer) -> bool:
    """Whether the tokens on both sides of a blank never depend on each other (BERT's tokenisers)."""
    return type(tokenizer.pre_tokenizer).__name__ == "BertPreTokenizer" and type(
        tokenizer.normalizer
    ).__name__ in ("BertNormalizer", "NoneType")
