"""Folders: the parts of one in BEIR's form, and the pages of any other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from plait.errors import EmptyCorpus, SourceNotFound
from plait.sources.lines import BYTE_ORDER_MARK, COMPRESSIONS, Undecodable, decoded
from plait.sources.records import Row

_PAGES = (".txt", ".md")


def beir_file(folder: Path, part: str) -> Path | None:
    """Find "corpus" or "queries" of a folder in BEIR's form, compressed or not."""
    names = [f"{part}.jsonl{compression}" for compression in ("", *COMPRESSIONS)]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def beir_part(folder: str | Path, part: str) -> str:
    """Find it, or raise SourceNotFound."""
    found = beir_file(Path(folder), part)
    if found is None:
        raise SourceNotFound(f"{folder}: the folder holds no {part}.jsonl")
    return str(found)


def page_rows(folder: Path) -> Iterator[Row]:
    """One record for each .txt and .md file below the folder, sorted by path; hidden ones are left alone."""
    pages = sorted(_pages(folder), key=lambda path: path.relative_to(folder).parts)
    if not pages:
        raise EmptyCorpus(f"{folder}: the folder holds no corpus.jsonl and no .txt or .md file")
    for path in pages:
        text = decoded(path.read_bytes().removeprefix(BYTE_ORDER_MARK))
        identity = path.relative_to(folder).as_posix()
        if isinstance(text, Undecodable):
            yield Row(str(path), 1, "the file is not UTF-8")
        else:
            yield Row(str(path), 1, {"_id": identity, "text": text})


def _pages(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix in _PAGES:
                yield Path(here, name)
