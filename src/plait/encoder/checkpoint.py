"""Folders that hold an encoder: which layouts there are, and where each keeps its parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plait.encoder.settings import EncoderSettings, read_settings
from plait.errors import CheckpointError, SourceNotFound

BUILTIN = Path(__file__).parent / "builtin"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parts of an encoder on disk.

    Attributes:
        settings: the encoding rules.
        settings_file: where they were read from, for messages.
        model: the ONNX graph.
        tokenizer: a ``tokenizer.json``.
    """

    settings: EncoderSettings
    settings_file: Path
    model: Path
    tokenizer: Path

    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) over the contents of the three files: equal only for equal encoders."""
        total = hashlib.sha256()
        for path in (self.settings_file, self.tokenizer, self.model):
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay out an encoder in a folder.

    Attributes:
        name: what the layout is called in messages.
        mark: the file by which it is known.
        read: finds the parts in a folder that has the mark; raises CheckpointError.
    """

    name: str
    mark: str
    read: Callable[[Path], Checkpoint]


def read_plait(folder: Path) -> Checkpoint:
    """plait's own layout: ``encoder.json``, ``model.onnx`` and ``tokenizer.json`` side by side."""
    settings_file = folder / "encoder.json"
    checkpoint = Checkpoint(
        settings=read_settings(settings_file),
        settings_file=settings_file,
        model=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
    )
    for part in (checkpoint.model, checkpoint.tokenizer):
        if not part.is_file():
            raise CheckpointError(f"{part}: the file is missing")
    return checkpoint


LAYOUTS: tuple[Layout, ...] = (Layout(name="plait", mark="encoder.json", read=read_plait),)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Recognise the layout of a folder and find its parts.

    Raises:
        SourceNotFound: there is no such folder.
        CheckpointError: no layout fits, or a part is missing or wrong.
    """
    if not folder.is_dir():
        raise SourceNotFound(
            f"{folder}: there is no such folder; give the folder of an encoder (nothing is downloaded)"
        )
    for layout in LAYOUTS:
        if (folder / layout.mark).is_file():
            return layout.read(folder)
    known = ", ".join(f"{layout.mark} ({layout.name})" for layout in LAYOUTS)
    raise CheckpointError(f"{folder}: no encoder was recognised here; looked for {known}")
