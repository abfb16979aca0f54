"""Names of checkpoints: folders, or repositories of the Hugging Face hub, which its own client brings."""

from __future__ import annotations

import os
import re
from pathlib import Path

from plait.errors import CheckpointError, MissingExtra, SourceNotFound

_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_NEVER_READ = [
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.gguf",
    "*.onnx",
    "*.onnx_data",
    "*.tflite",
    "*.bin",
    "*.pt",
    "*.dnn",
]
_OTHER_WEIGHTS = ["pytorch_model*.bin", "*/pytorch_model.bin", "model.onnx", "model.onnx.data"]


def local_folder(model: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """The folder of a checkpoint, and its name if it is not named by the folder.

    A string like "owner/name" that is no folder here is a name on the hub: its files are brought by
    ``huggingface_hub`` into that client's own cache, and found there without a network the next time.

    Raises:
        SourceNotFound: it is no folder, and no name on the hub either, or the hub can't be reached.
        MissingExtra: the hub's client is not installed.
    """
    folder = Path(model)
    if not is_hub_name(model):
        return folder, None
    name = str(model)
    path = _bring(name, ignore=_NEVER_READ)
    if not any(path.glob("*.safetensors")):
        path = _bring(name, only=_OTHER_WEIGHTS)
    return path, name


def is_hub_name(model: str | os.PathLike[str]) -> bool:
    """Whether this can only be a name on the hub: a string "owner/name" where no such folder exists."""
    return isinstance(model, str) and _NAME.fullmatch(model) is not None and not Path(model).exists()


def lasting_name(model: str | os.PathLike[str]) -> str:
    """What finds the checkpoint again from another folder: the hub's name, or an absolute path."""
    return str(model) if is_hub_name(model) else str(Path(model).resolve())


def _bring(name: str, ignore: list[str] | None = None, only: list[str] | None = None) -> Path:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtra(
            f"{name!r} is no folder here; to look for it on a hub, huggingface_hub", "hub"
        ) from None
    try:
        found = huggingface_hub.snapshot_download(name, ignore_patterns=ignore, allow_patterns=only)
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SourceNotFound(
            f"{name}: there is no such folder here, and the Hugging Face hub gave no checkpoint of that "
            f"name: {reason}"
        ) from error
    path = Path(found)
    if not path.is_dir():
        raise CheckpointError(f"{name}: the hub's client gave {path}, which is no folder")
    return path
