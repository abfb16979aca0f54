"""Folders that hold an encoder: which layouts there are, and reading one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from plait.encoder.graph import FAMILIES, longest_text
from plait.encoder.layouts.cross_encoder import is_cross_encoder
from plait.encoder.layouts.layout import Checkpoint, Layout, NetworkFiles
from plait.encoder.layouts.modules import MODULES
from plait.encoder.layouts.onnx_export import EXPORT, read_onnx_export
from plait.encoder.layouts.plait import read_plait
from plait.encoder.layouts.pylate import is_pylate, read_pylate
from plait.encoder.layouts.sentence_transformers import is_sentence_transformers, read_sentence_transformers
from plait.encoder.layouts.stanford import METADATA, is_stanford, read_stanford
from plait.errors import CheckpointError, SourceNotFound

__all__ = ["BUILTIN", "LAYOUTS", "Checkpoint", "Layout", "read_checkpoint"]

BUILTIN = Path(__file__).parent / "builtin"

LAYOUTS: tuple[Layout, ...] = (
    Layout(name="plait", mark="encoder.json", read=read_plait),
    Layout(name="next-plaid", mark=EXPORT, read=read_onnx_export),
    Layout(name="PyLate", mark=MODULES, read=read_pylate, fits=is_pylate),
    Layout(
        name="sentence-transformers",
        mark=MODULES,
        read=read_sentence_transformers,
        fits=is_sentence_transformers,
    ),
    Layout(name="colbert-ai", mark="config.json", read=read_stanford, fits=is_stanford),
)
"""The first that fits is taken."""

_COMPARED = (
    *("dim", "query_length", "document_length", "query_prefix", "document_prefix", "query_expansion"),
    "attend_to_expansion_tokens",
)


def read_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """Recognise the layout of a folder and find its parts.

    Args:
        folder: the folder.
        name: what the encoder is called where the layout has no name for it; by default as the folder.

    Raises:
        SourceNotFound: there is no such folder.
        CheckpointError: no layout fits, or a part is missing or wrong.
    """
    if not folder.is_dir():
        raise SourceNotFound(f"{folder}: there is no such folder; give the folder of an encoder")
    name = name or folder.resolve().name or "encoder"
    fitting = [layout for layout in LAYOUTS if (folder / layout.mark).is_file() and layout.fits(folder)]
    if (not fitting or fitting[0].mark == MODULES) and is_cross_encoder(folder):
        raise CheckpointError(
            f"{folder}: this is a cross-encoder, which scores pairs of texts and has no token vectors; "
            f"load it with plait.CrossEncoder"
        )
    if not fitting:
        known = ", ".join(f"{layout.mark} ({layout.name})" for layout in LAYOUTS)
        raise CheckpointError(f"{folder}: no encoder was recognised here; looked for {known}")
    found = fitting[0].read(folder, name)
    if isinstance(found.network, NetworkFiles):
        found = _within_positions(_without_own_code(found, found.network), found.network)
        if fitting[0].mark == MODULES and (folder / METADATA).is_file():
            found = _compared(found, read_stanford(folder, name))
    return found


def _without_own_code(checkpoint: Checkpoint, network: NetworkFiles) -> Checkpoint:
    """Refuse a network that is defined by Python code in the checkpoint: nothing else gives its vectors."""
    config = network.config
    if config.has("auto_map") and config.part("auto_map").has("AutoModel"):
        raise config.error("auto_map", "names code of the checkpoint's own, which is not run")
    return checkpoint


def _within_positions(checkpoint: Checkpoint, network: NetworkFiles) -> Checkpoint:
    """Lengths that the network has positions for: on longer texts the original would fail."""
    settings = checkpoint.settings
    if network.config.text("model_type") not in FAMILIES:
        return checkpoint
    longest = longest_text(network.config)
    remarks = list(checkpoint.remarks)
    for key in ("query_length", "document_length"):
        if getattr(settings, key) > longest:
            remarks.append(
                f"{checkpoint.settings_file}: {key} is {getattr(settings, key)}, but the network of "
                f"{network.config.path} has {longest} positions; texts are cut to {longest} tokens"
            )
            changes: dict[str, Any] = {key: longest}
            settings = dataclasses.replace(settings, **changes)
    return dataclasses.replace(checkpoint, settings=settings, remarks=tuple(remarks))


def _compared(checkpoint: Checkpoint, other: Checkpoint) -> Checkpoint:
    """Some folders hold colbert-ai's settings too: where they differ, it is said which are taken."""
    remarks = []
    for key in _COMPARED:
        taken, left = (str(getattr(found.settings, key)).strip() for found in (checkpoint, other))
        if taken != left:
            remarks.append(
                f"{checkpoint.settings_file}: {key} is {taken}, but {other.settings_file} says {left}; the "
                f"former is taken"
            )
    return dataclasses.replace(checkpoint, remarks=(*checkpoint.remarks, *remarks))
