"""What a disk may hold after a power cut, worked out from a trace.

The model is what POSIX promises and no more. A file's content is sure only up to its last fsync: each later
write or truncation was done, was not done, or was done in part (some 512-byte sectors of it). A folder's
entries are sure only up to the fsync of the folder: each later one may be there or not, whatever became of
the others.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.recorder import Operation

SECTOR = 512


@dataclass(eq=False)
class File:
    """A file's sure content, its content as programs see it, and what lies between."""

    sure: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)

    def change(self, kind: str, number: int, data: bytes) -> None:
        """A write at an offset ("W") or a truncation to a length ("T")."""
        _change(self.seen, kind, number, data)
        self.pending.append((kind, number, data))

    def sync(self) -> None:
        """All of it is sure."""
        self.sure = bytearray(self.seen)
        self.pending.clear()

    def after_power_cut(self, luck: random.Random) -> bytes:
        """One content that may be found."""
        content, fate = bytearray(self.sure), luck.choice(["lost", "kept", "prefix", "mixed", "mixed"])
        keep = luck.randint(0, len(self.pending))
        for place, (kind, number, data) in enumerate(self.pending):
            if (
                fate == "lost"
                or (fate == "prefix" and place >= keep)
                or (fate == "mixed" and luck.random() < 0.5)
            ):
                continue
            if fate == "mixed" and kind == "W" and luck.random() < 0.5:
                _tear(content, number, data, luck)
            else:
                _change(content, kind, number, data)
        return bytes(content)


@dataclass(eq=False)
class Folder:
    """A folder's sure entries, its entries as programs see them, and the changes between."""

    sure: dict[str, File | Folder] = field(default_factory=dict)
    seen: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, entries: dict[str, File | Folder | None]) -> None:
        """Set entries, or remove those that are None, as one."""
        _enter(self.seen, entries)
        self.pending.append(entries)

    def sync(self) -> None:
        """All entries are sure."""
        self.sure = dict(self.seen)
        self.pending.clear()

    def after_power_cut(self, luck: random.Random) -> dict[str, File | Folder]:
        """Entries that may be found."""
        entries, fate = dict(self.sure), luck.choice(["lost", "kept", "prefix", "mixed"])
        keep = luck.randint(0, len(self.pending))
        for place, change in enumerate(self.pending):
            if (
                fate == "lost"
                or (fate == "prefix" and place >= keep)
                or (fate == "mixed" and luck.random() < 0.5)
            ):
                continue
            _enter(entries, change)
        return entries


def _change(content: bytearray, kind: str, number: int, data: bytes) -> None:
    if kind == "T":
        del content[number:]
    content.extend(bytes(max(0, number - len(content))))
    content[number : number + len(data)] = data


def _tear(content: bytearray, offset: int, data: bytes, luck: random.Random) -> None:
    """Some sectors of a write reach the disk."""
    end = offset + len(data)
    for begin in range(offset - offset % SECTOR, end, SECTOR):
        first, last = max(begin, offset), min(begin + SECTOR, end)
        if luck.random() < 0.5:
            _change(content, "W", first, data[first - offset : last - offset])


def _enter(entries: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, node in changes.items():
        entries.pop(name, None)
        if node is not None:
            entries[name] = node


class Disk:
    """Replays operations below ``root``; what is above is sure."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = Folder()
        self._open: dict[int, File | Folder] = {}

    def apply(self, operation: Operation) -> None:
        """Replay one operation."""
        match operation.kind:
            case "O":
                self._opened(operation)
            case "C":
                self._open.pop(operation.fd, None)
            case "W" | "T":
                file = self._open[operation.fd]
                assert isinstance(file, File)
                file.change(operation.kind, operation.number, operation.data)
            case "S":
                self._open[operation.fd].sync()
            case "M":
                self._set(operation.path, Folder())
            case "U":
                self._set(operation.path, None)
            case "R" | "L":
                self._moved(operation)

    def _opened(self, operation: Operation) -> None:
        node = self._find(operation.path)
        if node is None:
            node = File()
            self._set(operation.path, node)
        elif operation.number & os.O_TRUNC and isinstance(node, File):
            node.change("T", 0, b"")
        self._open[operation.fd] = node

    def _moved(self, operation: Operation) -> None:
        target = operation.data.decode()
        node = self._find(operation.path)
        assert node is not None
        folder, name = self._parent(operation.path)
        other, new = self._parent(target)
        gone: dict[str, File | Folder | None] = {} if operation.kind == "L" else {name: None}
        if folder is other:
            folder.change({new: node, **gone})
        else:
            other.change({new: node})
            folder.change(gone)

    def _parent(self, path: str) -> tuple[Folder, str]:
        parts = Path(path).relative_to(self.root).parts
        folder = self.top
        for part in parts[:-1]:
            below = folder.seen[part]
            assert isinstance(below, Folder)
            folder = below
        return folder, parts[-1]

    def _find(self, path: str) -> File | Folder | None:
        if Path(path) == self.root:
            return self.top
        folder, name = self._parent(path)
        return folder.seen.get(name)

    def _set(self, path: str, node: File | Folder | None) -> None:
        folder, name = self._parent(path)
        folder.change({name: node})

    def power_cut(self, target: Path, luck: random.Random) -> None:
        """Write into ``target`` one state that the disk may be in."""
        _write(self.top.after_power_cut(luck), target, luck)


def _write(entries: dict[str, File | Folder], target: Path, luck: random.Random) -> None:
    target.mkdir()
    for name, node in entries.items():
        if isinstance(node, Folder):
            _write(node.after_power_cut(luck), target / name, luck)
        else:
            (target / name).write_bytes(node.after_power_cut(luck))
