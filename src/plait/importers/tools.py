"""Which indexes can be read, and how each is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plait.errors import ForeignIndexError, SourceNotFound
from plait.importers import colbert_ai, fast_plaid, pylate, ragatouille
from plait.importers.foreign import ForeignIndex


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose indexes are read.

    Attributes:
        name: what it is called in messages.
        marks: the files its indexes are known by, for messages.
        recognise: whether a folder looks like one.
        read: opens one; raises ForeignIndexError.
    """

    name: str
    marks: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path], ForeignIndex]


#: Those with something around another's index come first.
TOOLS: tuple[Tool, ...] = (
    Tool("RAGatouille", ragatouille.IDS, ragatouille.recognise, ragatouille.read),
    Tool("PyLate", f"{pylate.IDS[0]} or {pylate.INSIDE}/", pylate.recognise, pylate.read),
    Tool("fast-plaid or next-plaid", "centroids.npy", fast_plaid.recognise, fast_plaid.read),
    Tool("colbert-ai", "centroids.pt", colbert_ai.recognise, colbert_ai.read),
)


def open_foreign(source: str | Path) -> ForeignIndex:
    """Recognise the tool that made an index, and open it.

    Raises:
        SourceNotFound: there is no such folder.
        ForeignIndexError: no tool is recognised, or a file is missing, damaged or does not fit; it is named.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise SourceNotFound(f"{folder}: there is no such folder; give the folder of an index")
    for tool in TOOLS:
        if tool.recognise(folder):
            return tool.read(folder)
    known = ", ".join(f"{tool.marks} ({tool.name})" for tool in TOOLS)
    hint = " PyLate's Voyager index keeps no codes: add its documents again." if _voyager(folder) else ""
    raise ForeignIndexError(folder, f"no index of another tool is recognised here; looked for {known}.{hint}")


def _voyager(folder: Path) -> bool:
    return (folder / "index.voyager").exists()
