"""Files, plain or compressed, → lines."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from plait.errors import BadRecord, SourceNotFound

#: Stands for the standard input.
STDIN = "-"

COMPRESSIONS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Read the number and the content of each line that is not blank, of a file that may be compressed.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line is not UTF-8, or the compression is damaged.
    """
    for number, raw in raw_lines(existing(path)):
        text = decoded(raw)
        if isinstance(text, Undecodable):
            raise BadRecord(path, number, text)
        if text.strip():
            yield number, text.rstrip("\r\n")


def existing(source: str | Path) -> Path:
    """Give the path, or raise SourceNotFound."""
    path = Path(source)
    if not path.exists():
        raise SourceNotFound(f"{source}: there is no such file or folder")
    return path


def suffix_of(path: Path) -> str:
    """Find the ending that tells the kind: of ``a.jsonl.gz`` it is ``.jsonl``."""
    return Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix


def shown(source: str) -> str:
    """Name the source in a message."""
    return "the standard input" if source == STDIN else source


def raw_lines(source: str | Path) -> Iterator[tuple[int, bytes]]:
    """Read the number and the bytes of each line. Damaged compression can't be skipped."""
    number = 0
    if str(source) == STDIN:
        yield from enumerate(sys.stdin.buffer, start=1)
        return
    with _opened(Path(source)) as file:
        try:
            for raw in file:
                number += 1
                yield number, raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
        except (OSError, *_DAMAGED) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's trouble, not the file's
            reason = f"the compressed file is damaged after this line: {error}"
            raise BadRecord(source, number, reason) from None


def _opened(path: Path) -> IO[bytes]:
    opened: IO[bytes] = COMPRESSIONS.get(path.suffix, open)(path, "rb")
    return opened


class Undecodable(str):
    """The reason why a line is not text."""


def decoded(raw: bytes) -> str | Undecodable:
    """Decode UTF-8, or say at which byte it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return Undecodable(f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line")
