"""What reading any layout gives: the parts of an encoder, and where they are."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plait.encoder.graph import Projection
from plait.encoder.json_file import JsonFile
from plait.encoder.settings import EncoderSettings


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """A network that is not an ONNX graph yet.

    Attributes:
        config: its ``config.json``.
        weights: the files of its weights.
        projections: the linear layers behind it, in order.
    """

    config: JsonFile
    weights: tuple[Path, ...]
    projections: tuple[Projection, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parts of an encoder on disk.

    Attributes:
        settings: the encoding rules.
        settings_file: where they were read from, for messages.
        tokenizer: a ``tokenizer.json``, or BERT's ``vocab.txt``.
        network: an ONNX graph, or what one can be built from.
        other_files: further files that the vectors depend on.
        remarks: what was assumed, left out or contradictory, each in a sentence that names file and key.
    """

    settings: EncoderSettings
    settings_file: Path
    tokenizer: Path
    network: Path | NetworkFiles
    other_files: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) over the contents of the files: equal only for equal encoders."""
        return fingerprint((self.settings_file, self.tokenizer, *self._network_files(), *self.other_files))

    def _network_files(self) -> tuple[Path, ...]:
        network = self.network
        if isinstance(network, Path):
            outside = network.with_name(network.name + ".data")
            return (network, outside) if outside.is_file() else (network,)
        return network_files(network)


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay out an encoder in a folder.

    Attributes:
        name: what the layout is called in messages.
        mark: the file by which it is known.
        read: finds the parts in a folder that has the mark, given the encoder's name; raises CheckpointError.
        fits: whether a folder that has the mark is of this layout.
    """

    name: str
    mark: str
    read: Callable[[Path, str], Checkpoint]
    fits: Callable[[Path], bool] = lambda folder: True


def network_files(network: NetworkFiles) -> tuple[Path, ...]:
    """All files that the graph is built from."""
    behind = [path for projection in network.projections for path in projection.weights]
    return (network.config.path, *network.weights, *(path for path in behind if path not in network.weights))


def fingerprint(files: tuple[Path, ...]) -> str:
    """SHA-256 over the SHA-256 of each file, in order."""
    total = hashlib.sha256()
    for path in files:
        status = path.stat()
        total.update(_digest(path, status.st_size, status.st_mtime_ns, status.st_ino))
    return total.hexdigest()


@functools.lru_cache(maxsize=256)
def _digest(path: Path, *identity: int) -> bytes:
    """SHA-256 of a file's content; the weights are asked for twice when a checkpoint is loaded."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
