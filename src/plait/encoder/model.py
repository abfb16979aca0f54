"""The encoder: tokenise, run the network with ONNX Runtime, keep and scale the vectors."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from plait.encoder.checkpoint import BUILTIN, Checkpoint, read_checkpoint
from plait.encoder.conversion import cached_graph, write_converted
from plait.encoder.hub import local_folder
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import TextTokenizer, TokenizedText
from plait.errors import CheckpointError, CheckpointWarning, EmptyText, InvalidParameter
from plait.threads import map_threads
from plait.types import FloatArray, TokenEmbeddings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of texts done and the number of texts in all."""

INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
SMALLEST_NORM = np.float32(1e-12)


class Encoder(Protocol):
    """What plait asks of anything that turns texts into token vectors."""

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
        """Encode texts that are searched with."""
        ...

    def encode_documents(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode texts that are searched in."""
        ...


class OnnxEncoder:
    """An encoder whose network is an ONNX graph on the CPU. Safe to use from several threads.

    Each text is run alone, so its vectors have the same bits whatever else is in the call and however many
    threads there are (docs/decisions/0005-batch-invariant-encoding.md).
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Load the network and the tokeniser; a network that is no ONNX graph yet is built (``conversion``).

        Raises:
            CheckpointError: a file can't be read, or the network does not fit the settings.
        """
        self._checkpoint = checkpoint
        try:
            self._tokenizer = TextTokenizer(checkpoint.tokenizer, checkpoint.settings)
        except CheckpointError as error:
            if str(error).startswith(str(checkpoint.tokenizer)):
                raise
            raise CheckpointError(f"{checkpoint.settings_file}: {error}") from None
        self._model = cached_graph(checkpoint)
        self._session = _open_session(self._model)
        self._inputs = _check_graph(self._session, self._model, checkpoint)

    @property
    def settings(self) -> EncoderSettings:
        """The encoding rules."""
        return self._checkpoint.settings

    @property
    def dim(self) -> int:
        """Components per vector."""
        return self.settings.dim

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
            One matrix per query, in order: f32, of unit length if ``settings.normalise``.

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
        matrices = map_threads(lambda text: self._encode(tokenize(text)), texts, threads, done)
        return TokenEmbeddings.from_list(matrices, dim=self.dim)

    def _encode(self, text: TokenizedText) -> FloatArray:
        """One text's vectors, f32 ``[kept tokens, dim]``."""
        values = {
            "input_ids": text.ids[None],
            "attention_mask": text.attended[None],
            "token_type_ids": np.zeros((1, len(text.ids)), dtype=np.int64),
        }
        try:
            outputs = self._session.run(None, {name: values[name] for name in self._inputs})
        except Exception as error:
            raise CheckpointError(
                f"{self._model}: failed on a text of {len(text.ids)} tokens ({error})"
            ) from error
        vectors = np.asarray(outputs[0], dtype=np.float32)
        if vectors.shape != (1, len(text.ids), self.dim):
            raise CheckpointError(
                f"{self._model}: gave the shape {vectors.shape} for {len(text.ids)} tokens, "
                f"but dim in {self._checkpoint.settings_file.name} is {self.dim}"
            )
        kept = vectors[0][text.kept]
        return unit_length(kept) if self.settings.normalise else kept


def load_encoder(path: str | os.PathLike[str] | None = None) -> OnnxEncoder:
    """Load an encoder from a folder, or the built-in one.

    What had to be assumed is told by a ``CheckpointWarning``.

    Args:
        path: the folder of a checkpoint, in any layout of ``checkpoint.LAYOUTS``, or its name on the Hugging
            Face hub; None for the built-in model.

    Raises:
        SourceNotFound: there is no such folder, and the hub has no such name or can't be reached.
        CheckpointError: a file is missing or broken, or the settings contradict; the file is named.
    """
    return OnnxEncoder(read_checkpoint(BUILTIN) if path is None else _read(path))


def convert(source: str | os.PathLike[str], output: str | os.PathLike[str], *, int8: bool = False) -> None:
    """Write a checkpoint as ``model.onnx``, ``tokenizer.json`` and ``encoder.json``, without torch.

    Args:
        source: the folder of a checkpoint, or its name on the Hugging Face hub.
        output: the folder to make; it appears when it is complete.
        int8: store weights in 8 bits: a quarter of the size and faster, for a small loss
            (docs/checkpoints.md).

    Raises:
        SourceNotFound, CheckpointError: as ``load_encoder``.
        InvalidParameter: something is at ``output`` already.
    """
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


def _open_session(path: Path) -> InferenceSession:
    """One thread inside a run, since the texts are spread over threads; idle threads do not spin."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(f"{path}: can't be read as an ONNX model ({error})") from error


def _check_graph(session: InferenceSession, model: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    """The graph's inputs, after checking that they and its output are what is expected."""
    inputs = tuple(node.name for node in session.get_inputs())
    if "input_ids" not in inputs or not INPUTS.issuperset(inputs):
        raise CheckpointError(
            f"{model}: takes the inputs {', '.join(inputs)}, but input_ids, attention_mask and "
            f"token_type_ids are expected"
        )
    shape = session.get_outputs()[0].shape
    if len(shape) != 3 or (isinstance(shape[2], int) and shape[2] != checkpoint.settings.dim):
        raise CheckpointError(
            f"{model}: gives an output of the shape {shape}, but [texts, tokens, dim] is "
            f"expected, and dim in {checkpoint.settings_file.name} is {checkpoint.settings.dim}"
        )
    return inputs


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
