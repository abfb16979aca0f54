"""Checkpoints to ONNX: into a folder of plait's own layout, or into the user's cache when one is loaded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plait.encoder.graph import BUILDER_VERSION, FAMILIES, Precision, write_graph
from plait.encoder.layouts.layout import Checkpoint, NetworkFiles, fingerprint, network_files
from plait.encoder.settings import write_settings
from plait.encoder.tokenizer import read_tokenizer
from plait.errors import CheckpointError, InvalidParameter

GRAPH = "model.onnx"


def can_be_built(network: NetworkFiles) -> bool:
    """Whether the network is of a family that the builder knows."""
    return network.config.text("model_type") in FAMILIES


def cached_graph(checkpoint: Checkpoint) -> Path:
    """The ONNX graph of a checkpoint, built at first use and kept in the user's cache folder.

    The name of its folder there is a hash of the files it is built from, so a changed checkpoint has another
    one.

    Raises:
        CheckpointError: the graph can't be built, or the cache folder can't be written to.
    """
    if isinstance(checkpoint.network, Path):
        return checkpoint.network
    content = fingerprint(network_files(checkpoint.network))
    key = hashlib.sha256(f"{content} {BUILDER_VERSION}".encode()).hexdigest()[:32]
    folder = cache_folder() / "encoders" / key
    if not (folder / GRAPH).is_file():
        with _new_folder(folder) as new:
            _write_graph(checkpoint, checkpoint.network, new / GRAPH, "f32")
    return folder / GRAPH


def cache_folder() -> Path:
    """Where plait keeps what it can make again: ``plait`` in ``XDG_CACHE_HOME``, or in ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "plait"


def write_converted(checkpoint: Checkpoint, output: Path, precision: Precision) -> None:
    """Write a checkpoint as a folder of plait's own layout.

    Args:
        checkpoint: one whose network is not an ONNX graph yet.
        output: the folder to make.
        precision: "f32", or "int8" for weights in 8 bits.

    Raises:
        InvalidParameter: something is at ``output`` already.
        CheckpointError: the graph can't be built, or the checkpoint has one already.
    """
    if output.exists():
        raise InvalidParameter(f"{output} exists already; give a new folder")
    if isinstance(checkpoint.network, Path):
        raise CheckpointError(f"{checkpoint.network} is an ONNX graph already: there is nothing to convert")
    if not can_be_built(checkpoint.network):
        config = checkpoint.network.config
        raise config.error(
            "model_type",
            f"is {config.text('model_type')!r}; only {', '.join(FAMILIES)} can be converted, others are run "
            f"by torch",
        )
    with _new_folder(output) as new:
        _write_graph(checkpoint, checkpoint.network, new / GRAPH, precision)
        read_tokenizer(checkpoint.tokenizer).save(str(new / "tokenizer.json"))
        write_settings(checkpoint.settings, new / "encoder.json")


def _write_graph(checkpoint: Checkpoint, network: NetworkFiles, path: Path, precision: Precision) -> None:
    dim = write_graph(path, network.config, network.weights, network.projections, precision)
    if dim != checkpoint.settings.dim:
        raise CheckpointError(
            f"{checkpoint.settings_file}: dim is {checkpoint.settings.dim}, but the weights give {dim} "
            f"components"
        )


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder that appears under its name when it is complete, or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise CheckpointError(
            f"{folder.parent}: can't be written to ({error.strerror}); XDG_CACHE_HOME chooses another cache "
            f"folder, and `plait convert` writes to a folder of your choice"
        ) from error
    try:
        new.chmod(0o777 & ~_umask())
        yield new
        try:
            new.rename(folder)
        except OSError:
            if not (folder / GRAPH).is_file():  # else another process has built it meanwhile
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
