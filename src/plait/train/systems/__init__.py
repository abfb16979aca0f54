"""The systems the field compares, behind the same calls. One file each; torch is loaded with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from plait.encoder.hub import local_folder
from plait.errors import CheckpointError, InvalidParameter, MissingExtra, SourceNotFound
from plait.train.identities import BUILTIN, is_builtin
from plait.train.settings import SYSTEMS, TrainSettings

if TYPE_CHECKING:
    from plait.train.systems.system import System

OWN = "system.json"
"""In the folder of a system that no other library has a layout for."""

_HOMES = {
    "colbert": ("colbert", "ColBERT"),
    "bi-encoder": ("bi_encoder", "BiEncoder"),
    "cross-encoder": ("cross_encoder", "CrossEncoderSystem"),
    "poly-encoder": ("poly_encoder", "PolyEncoder"),
    "me-bert": ("me_bert", "MEBert"),
}
_MODEL_TYPES = {
    "MultiVectorEncoder": "colbert",
    "ColBERT": "colbert",
    "SentenceTransformer": "bi-encoder",
    "CrossEncoder": "cross-encoder",
}


def load_system(folder: str | Path) -> System:
    """Load what was trained: any of the systems, or a checkpoint of sentence-transformers.

    Args:
        folder: what ``train`` wrote.

    Raises:
        MissingExtra: torch or sentence-transformers is not installed.
        SourceNotFound: there is no such folder.
        CheckpointError: the folder holds no system, or a file is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceNotFound(f"{folder}: there is no such folder; give the folder of a trained system")
    kind = system_class(_kind(folder))
    from plait.train.systems.base import quietly

    with quietly():
        return kind.load(folder)


def start_system(base: str | Path, settings: TrainSettings, folder: Path) -> None:
    """Write the system as it is before training: the base's network, with new weights behind it.

    Args:
        base: the folder of a transformer, or of a system of the same kind; a name on the hub; or ``BUILTIN``
            for the model that ships inside plait.
        settings: the system and its shape; new weights are drawn with ``settings.seed``.
        folder: where to write.

    Raises:
        MissingExtra, SourceNotFound, CheckpointError, InvalidParameter: as for ``train``.
    """
    require_torch()
    import torch

    from plait.train.systems.base import quietly

    kind = system_class(settings.system)
    with quietly(), _base_folder(base) as source:
        torch.manual_seed(settings.seed)
        kind.start(source, settings).save(folder)


@contextmanager
def _base_folder(base: str | Path) -> Iterator[Path]:
    """Where a base is; the built-in model is written to a folder for the time being."""
    if is_builtin(base):
        from plait.train.builtin import write_builtin

        with TemporaryDirectory() as scratch:
            write_builtin(Path(scratch))
            yield Path(scratch)
        return
    source, _ = local_folder(base)
    if not source.is_dir():
        raise SourceNotFound(
            f"{source}: there is no such folder; give the folder of a model to begin with, or {BUILTIN!r}"
        )
    yield source


def system_class(name: str) -> type[System]:
    """The class of a system."""
    if name not in _HOMES:
        raise InvalidParameter(f"system must be one of {', '.join(SYSTEMS)}, not {name!r}")
    require_torch()
    module, attribute = _HOMES[name]
    found: type[System] = getattr(import_module(f"plait.train.systems.{module}"), attribute)
    return found


def require_torch() -> None:
    """Raise MissingExtra without torch and sentence-transformers, which training needs."""
    for package in ("torch", "sentence_transformers"):
        try:
            import_module(package)
        except ImportError:
            raise MissingExtra(package.replace("_", "-"), "train") from None


def _kind(folder: Path) -> str:
    """Which system is in a folder."""
    for file, key in ((OWN, "system"), ("config_sentence_transformers.json", "model_type")):
        path = folder / file
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            name = values.get(key, "SentenceTransformer")
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: can't be read ({error})") from None
        name = _MODEL_TYPES.get(name, name)
        if name not in _HOMES:
            raise CheckpointError(f"{path}: {key} is {name!r}, which is no system that is known here")
        return str(name)
    raise CheckpointError(
        f"{folder}: holds no trained system; looked for {OWN} and config_sentence_transformers.json"
    )
