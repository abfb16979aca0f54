"""Checkpoints to ONNX: into a folder of plait's own layout, or into the user's cache when one is loaded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plait.encoder.graph import BUILDER_VERSION, FAMILIES, Precision, write_classifier, write_graph
from plait.encoder.layouts.cross_encoder import read_cross_encoder
from plait.encoder.layouts.cross_encoder import write_settings as write_cross_settings
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

    Raises:
        CheckpointError: the graph can't be built, or the cache folder can't be written to.
    """
    network = checkpoint.network
    if isinstance(network, Path):
        return network
    return kept_graph("encoders", network, lambda path: _write_graph(checkpoint, network, path, "f32"))


def kept_graph(kind: str, network: NetworkFiles, write: Callable[[Path], None]) -> Path:
    """A graph in the user's cache folder, written there if it is not there yet.

    The name of its folder there is a hash of the files it is built from, so a changed checkpoint has another
    one.

    Args:
        kind: what the network is built as; the folder above.
        network: what it is built from.
        write: writes the graph to a path.
    """
    content = fingerprint(network_files(network))
    key = hashlib.sha256(f"{content} {BUILDER_VERSION}".encode()).hexdigest()[:32]
    folder = cache_folder() / kind / key
    if not (folder / GRAPH).is_file():
        with _new_folder(folder) as new:
            write(new / GRAPH)
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
    network = checkpoint.network
    if isinstance(network, NetworkFiles) and not can_be_built(network):
        raise network.config.error(
            "model_type",
            f"is {network.config.text('model_type')!r}; only {', '.join(FAMILIES)} can be converted, others "
            f"are run by torch",
        )
    with converted_folder(network, checkpoint.tokenizer, output) as (files, new):
        _write_graph(checkpoint, files, new / GRAPH, precision)
        write_settings(checkpoint.settings, new / "encoder.json")


@contextmanager
def converted_folder(
    network: Path | NetworkFiles, tokenizer: Path, output: Path
) -> Iterator[tuple[NetworkFiles, Path]]:
    """A new folder with the tokenizer, for a graph and settings; gives what to build the graph from.

    Raises:
        InvalidParameter: something is at ``output`` already.
        CheckpointError: the network is an ONNX graph already.
    """
    if output.exists():
        raise InvalidParameter(f"{output} exists already; give a new folder")
    if isinstance(network, Path):
        raise CheckpointError(f"{network} is an ONNX graph already: there is nothing to convert")
    with _new_folder(output) as new:
        yield network, new
        read_tokenizer(tokenizer).save(str(new / "tokenizer.json"))


def convert_cross_encoder(source: Path, name: str | None, output: Path, precision: Precision) -> None:
    """Write a cross-encoder as ``model.onnx``, ``tokenizer.json`` and ``cross_encoder.json``, without torch.

    Args:
        source: the folder of a checkpoint.
        name: what it is called, if not as its folder.
        output: the folder to make; it appears when it is complete.
        precision: "f32", or "int8" for weights in 8 bits.

    Raises:
        CheckpointError: it can't be converted, or is an ONNX graph already.
        InvalidParameter: something is at ``output`` already.
    """
    files = read_cross_encoder(source, name)
    with converted_folder(files.network, files.tokenizer, output) as (network, new):
        write_classifier(new / GRAPH, network.config, network.weights, precision)
        write_cross_settings(files.settings, new)


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
