"""The encoder: tokenise, run the network with ONNX Runtime, keep and scale the vectors."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from plait.encoder.checkpoint import BUILTIN, Checkpoint, read_checkpoint
from plait.encoder.conversion import can_be_built, convert_cross_encoder, write_converted
from plait.encoder.hub import local_folder
from plait.encoder.layouts.cross_encoder import is_cross_encoder
from plait.encoder.layouts.layout import NetworkFiles
from plait.encoder.onnx_network import OnnxNetwork
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import TextTokenizer, TokenizedText
from plait.errors import CheckpointError, CheckpointWarning, EmptyText, InvalidParameter
from plait.threads import map_threads
from plait.types import SMALLEST_NORM, FloatArray, TokenEmbeddings

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of texts done and the number of texts in all."""


class Encoder(Protocol):
    """What plait asks of anything that turns texts into token vectors.

    One whose embeddings have ``pooled`` vectors of another width than ``dim`` says so by a further attribute,
    ``pooled_dim``.
    """

    @property
    def dim(self) -> int:
        """Components per vector."""
        ...

    @property
    def name(self) -> str:
        """What the encoder is called."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for two encoders only if they give the same vectors."""
        ...

    def encode_queries(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode texts that are searched with; ``pooled`` may be left out (see ``TokenEmbeddings``)."""
        ...

    def encode_documents(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode texts that are searched in."""
        ...


class Network(Protocol):
    """What an encoder asks of a network, whatever runs it."""

    path: Path

    def run(self, text: TokenizedText) -> tuple[FloatArray, FloatArray | None]:
        """The vectors of all tokens of a text, f32 ``[tokens, dim]``, and the pooled one, if there is one."""
        ...


class CheckpointEncoder:
    """ColBERT's rules around the network of a checkpoint. Safe to use from several threads.

    Each text is run alone, so its vectors have the same bits whatever else is in the call and however many
    threads there are (docs/decisions/0005-batch-invariant-encoding.md).
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Load the tokeniser and the network, which is built if it is no ONNX graph yet (``conversion``).

        Raises:
            CheckpointError: a file can't be read, or the network does not fit the settings.
            MissingExtra: the network is of a kind that only torch runs, which is not installed.
        """
        self._checkpoint = checkpoint
        try:
            self._tokenizer = TextTokenizer(checkpoint.tokenizer, checkpoint.settings)
        except CheckpointError as error:
            if str(error).startswith(str(checkpoint.tokenizer)):
                raise
            raise CheckpointError(f"{checkpoint.settings_file}: {error}") from None
        self._network = _open_network(checkpoint)

    @property
    def settings(self) -> EncoderSettings:
        """The encoding rules."""
        return self._checkpoint.settings

    @property
    def dim(self) -> int:
        """Components per vector."""
        return self.settings.dim

    @property
    def pooled_dim(self) -> int:
        """Components of the single vector of a text."""
        return self.settings.pooled_dim or self.dim

    @property
    def name(self) -> str:
        """What the encoder is called."""
        return self.settings.name

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) over the encoder's files."""
        return self._checkpoint.fingerprint()

    def encode_queries(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode queries.

        Args:
            texts: the queries; longer ones are cut to ``settings.query_length`` tokens.
            threads: how many threads to use; None means one for each core this process may use.
            progress: called with (texts done, texts in all) after each text, from the calling thread.

        Returns:
            One matrix per query, in order: f32, of unit length if ``settings.normalise``; and as ``pooled``
            the single vector of each text from the same pass.

        Raises:
            EmptyText: a text is empty or only white space; the message says which one.
            InvalidParameter: ``texts`` or ``threads`` can't be used.
        """
        checked = check_texts(texts, "queries")
        return self._encode_all(checked, self._tokenizer.query, threads, progress)

    def encode_documents(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode documents: as ``encode_queries``, without filling and without the skiplist's tokens."""
        checked = check_texts(texts, "texts")
        return self._encode_all(checked, self._tokenizer.document, threads, progress)

    def _encode_all(
        self,
        texts: list[str],
        tokenize: Callable[[str], TokenizedText],
        threads: int | None,
        progress: Progress | None,
    ) -> TokenEmbeddings:
        done = None if progress is None else lambda count: progress(count, len(texts))
        found = map_threads(lambda text: self._encode(tokenize(text)), texts, threads, done)
        pooled = np.array([single for _, single in found], dtype=np.float32)
        pooled = pooled.reshape(len(texts), self.pooled_dim)
        return TokenEmbeddings.from_list([vectors for vectors, _ in found], dim=self.dim, pooled=pooled)

    def _encode(self, text: TokenizedText) -> tuple[FloatArray, FloatArray]:
        """One text's vectors, f32 ``[kept tokens, dim]``, and its single one, f32 ``[d]`` of unit length.

        A network without one has the mean of its own outputs for the tokens that are attended, those of the
        skiplist among them (docs/decisions/0023-bi-encoder.md).
        """
        try:
            vectors, pooled = self._network.run(text)
        except Exception as error:
            raise CheckpointError(
                f"{self._network.path}: failed on a text of {len(text.ids)} tokens ({error})"
            ) from error
        if vectors.shape != (len(text.ids), self.dim):
            raise CheckpointError(
                f"{self._network.path}: gave the shape {vectors.shape} for {len(text.ids)} tokens, "
                f"but dim in {self._checkpoint.settings_file.name} is {self.dim}"
            )
        if pooled is None:
            pooled = vectors[text.attended != 0].mean(axis=0)
        kept = vectors[text.kept]
        return unit_length(kept) if self.settings.normalise else kept, unit_length(pooled[None])[0]


def load_encoder(
    path: str | os.PathLike[str] | None = None,
    *,
    query_length: int | None = None,
    document_length: int | None = None,
) -> CheckpointEncoder:
    """Load an encoder from a folder, or the built-in one.

    What had to be assumed is told by a ``CheckpointWarning``.

    Args:
        path: the folder of a checkpoint, in any layout of ``checkpoint.LAYOUTS``, or its name on the Hugging
            Face hub; None for the built-in model.
        query_length, document_length: tokens of a query and of a document at most, in place of the
            checkpoint's own.

    Raises:
        SourceNotFound: there is no such folder, and the hub has no such name or can't be reached.
        CheckpointError: a file is missing or broken, or the settings contradict; the file is named.
    """
    checkpoint = read_checkpoint(BUILTIN) if path is None else _read(path)
    settings = checkpoint.settings
    if query_length is not None:
        settings = replace(settings, query_length=query_length)
    if document_length is not None:
        settings = replace(settings, document_length=document_length)
    return CheckpointEncoder(replace(checkpoint, settings=settings))


def convert(source: str | os.PathLike[str], output: str | os.PathLike[str], *, int8: bool = False) -> None:
    """Write a checkpoint as ``model.onnx``, ``tokenizer.json`` and ``encoder.json``, without torch.

    A cross-encoder has ``cross_encoder.json`` instead, and is opened by ``plait.CrossEncoder``.

    Args:
        source: the folder of a checkpoint, of a cross-encoder too, or its name on the Hugging Face hub.
        output: the folder to make; it appears when it is complete.
        int8: store weights in 8 bits: a quarter of the size and faster, for a small loss
            (docs/checkpoints.md).

    Raises:
        SourceNotFound, CheckpointError: as ``load_encoder``.
        InvalidParameter: something is at ``output`` already.
    """
    folder, name = local_folder(source)
    if is_cross_encoder(folder):
        convert_cross_encoder(folder, name, Path(output), "int8" if int8 else "f32")
    else:
        write_converted(_read(source), Path(output), "int8" if int8 else "f32")


def _read(model: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint of a folder or of a name on the hub; its remarks become warnings."""
    checkpoint = read_checkpoint(*local_folder(model))
    for remark in checkpoint.remarks:
        warnings.warn(remark, CheckpointWarning, stacklevel=3)
    return checkpoint


def unit_length(vectors: FloatArray) -> FloatArray:
    """Scale each row of f32 ``[n, dim]`` to length 1; a row of zeros stays zero."""
    norms = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    scaled: FloatArray = vectors / np.maximum(norms, SMALLEST_NORM)
    return scaled


def _open_network(checkpoint: Checkpoint) -> Network:
    """ONNX Runtime for graphs and for what can be made one; torch, if it is installed, for all others."""
    network = checkpoint.network
    if isinstance(network, NetworkFiles) and not can_be_built(network):
        from plait.encoder.torch_network import TorchNetwork

        return TorchNetwork(checkpoint, network)
    return OnnxNetwork(checkpoint)


def check_texts(texts: Sequence[str], name: str) -> list[str]:
    """The texts, if each of them can be encoded.

    Raises:
        EmptyText: one is empty or only white space.
        InvalidParameter: they are not a list of strings of valid Unicode; ``name`` and the place are told.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InvalidParameter(
            f"{name} must be a list of strings, not {type(texts).__name__}; give [text] for one"
        )
    checked = list(texts)
    for position, text in enumerate(checked):
        if not isinstance(text, str):
            raise InvalidParameter(f"{name}[{position}] must be a string, not {type(text).__name__}")
        if not text or text.isspace():
            raise EmptyText(f"{name}[{position}] is empty")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidParameter(f"{name}[{position}] is not valid Unicode: {error}") from None
    return checked
