"""Texts of a foreign index: a collection that colbert-ai was given, or a list of strings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plait.errors import ForeignIndexError
from plait.importers.foreign import read_json


def find_collection(folder: Path, place: Any, count: int) -> list[str] | None:
    """The texts of the collection that an index names, or None if it is not there any more."""
    if not isinstance(place, str) or not place:
        return None
    for path in (Path(place), folder / place, folder / Path(place).name):
        if path.is_file():
            return read_collection(path, count)
    return None


def read_collection(path: Path, count: int) -> list[str]:
    """The texts of ``collection.tsv`` (number, text and maybe title), or of a JSON list of strings.

    Raises:
        ForeignIndexError: it can't be read, or has not ``count`` texts.
    """
    return checked_texts(read_collection_file(path), count, path)


def read_collection_file(path: Path) -> list[Any]:
    """As ``read_collection``, whatever the number of texts."""
    return _read_tsv(path) if path.suffix != ".json" else read_json(path, list)


def checked_texts(texts: Sequence[Any], count: int, path: Path) -> list[str]:
    """The texts, if they are strings and as many as there are documents."""
    if len(texts) != count:
        raise ForeignIndexError(
            path, f"holds {len(texts)} texts, but the index has {count} documents: is it another collection?"
        )
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ForeignIndexError(path, f"text {place} is {type(text).__name__}, not a string")
    return list(texts)


def _read_tsv(path: Path) -> list[str]:
    """By colbert-ai's rules: lines are numbered from 0, and a title goes before the text."""
    texts = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                key, separator, rest = line.strip("\n\r ").partition("\t")
                if not separator or (key != "id" and key != str(number)):
                    raise ForeignIndexError(
                        path, f"line {number + 1} must begin with {number} and a tab, not {key[:40]!r}"
                    )
                text, _, title = rest.partition("\t")
                title = title.split("\t")[0]
                texts.append(f"{title} | {text}" if title else text)
    except OSError as error:
        raise ForeignIndexError(path, f"can't be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ForeignIndexError(path, f"is not UTF-8 ({error})") from error
    return texts
