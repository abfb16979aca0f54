"""Cross-encoders: one score for a query and a text that the network reads together.

Nogueira and Cho, "Passage Re-ranking with BERT" (2019). Too slow to search with, but the most accurate stage
for the few best hits of another one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plait.encoder.conversion import kept_graph
from plait.encoder.graph import write_classifier
from plait.encoder.hub import local_folder
from plait.encoder.layouts.cross_encoder import (
    CrossEncoderFiles,
    CrossEncoderSettings,
    read_cross_encoder,
)
from plait.encoder.model import Progress, check_texts
from plait.encoder.onnx_network import INPUTS, open_session
from plait.encoder.packages import DEFAULT, is_packaged, packaged_folder
from plait.encoder.tokenizer import PairTokenizer, TokenizedText
from plait.errors import CheckpointError, InvalidParameter
from plait.threads import map_threads
from plait.types import FloatArray


class CrossEncoder:
    """A cross-encoder on ONNX Runtime. Safe to use from several threads.

    Each pair is run alone, so its score has the same bits whatever else is in the call and however many
    threads there are (docs/decisions/0005-batch-invariant-encoding.md).
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, max_length: int | None = None) -> None:
        """Load a cross-encoder.

        Args:
            path: the folder of a checkpoint of sentence-transformers (BERT, RoBERTa, XLM-RoBERTa, CamemBERT,
                ELECTRA, DistilBERT or ModernBERT with one label), its name on the Hugging Face hub, a
                folder that ``plait convert`` wrote, or the name of one that an installed package brings.
                By default "minilm", which the package plait-cross-encoder-minilm brings.
            max_length: the most tokens of a pair, in place of the checkpoint's own.

        Raises:
            SourceNotFound: there is no such folder, no package brings that name, and the hub has no such
                name or can't be reached.
            CheckpointError: it is no cross-encoder, or a file is missing or broken; the file is named.
            InvalidParameter: ``max_length`` is too small or too large.
        """
        path = DEFAULT if path is None else path
        found = (packaged_folder(str(path)), None) if is_packaged(path) else local_folder(path)
        self._files = read_cross_encoder(*found)
        own = self._files.settings.max_length
        if max_length is not None and (not isinstance(max_length, int) or not 0 < max_length <= own):
            raise InvalidParameter(f"max_length must be a whole number from 1 to {own}, not {max_length!r}")
        self._tokenizer = PairTokenizer(self._files.tokenizer, max_length or own)
        self._path = _graph(self._files)
        self._session = open_session(str(self._path))
        self._inputs = self._checked_inputs()

    @property
    def settings(self) -> CrossEncoderSettings:
        """What is done beside the network."""
        return self._files.settings

    @property
    def name(self) -> str:
        """What the cross-encoder is called."""
        return self.settings.name

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) over its files."""
        return self._files.fingerprint()

    def score(
        self,
        query: str,
        texts: Sequence[str],
        *,
        logits: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        """How well each text answers a query; higher is better.

        Args:
            query: the query.
            texts: the texts; where query and text have too many tokens together, the longer is cut first.
            logits: give the network's own numbers, without the checkpoint's activation. A sigmoid gives two
                very good texts the same score; their logits still differ.
            threads: None for one on each core that this process may use.
            progress: called with (texts done, texts in all) after each text, from the calling thread.

        Returns:
            f32 ``[n]``, in order of the texts.

        Raises:
            EmptyText: the query or a text is empty or only white space.
            InvalidParameter: ``texts`` is no list of strings.
        """
        (query,) = check_texts([query], "query")
        checked = check_texts(texts, "texts")
        tokens = self._tokenizer.start(self.settings.query_prompt + query)
        done = None if progress is None else lambda count: progress(count, len(checked))
        found = map_threads(
            lambda text: self._run(self._tokenizer.pair(tokens, text)), checked, threads, done
        )
        scores = np.array(found, dtype=np.float32)
        return scores if logits else _activated(scores, self.settings.activation)

    def _run(self, pair: TokenizedText) -> float:
        types = pair.types if self.settings.token_types and pair.types is not None else 0 * pair.ids
        values = {"input_ids": pair.ids, "attention_mask": pair.attended, "token_type_ids": types}
        try:
            (found,) = self._session.run(None, {name: values[name][None] for name in self._inputs})
        except Exception as error:
            raise CheckpointError(
                f"{self._path}: failed on a pair of {len(pair.ids)} tokens ({error})"
            ) from error
        return float(found[0, 0])

    def _checked_inputs(self) -> tuple[str, ...]:
        inputs = tuple(node.name for node in self._session.get_inputs())
        outputs = [node.shape for node in self._session.get_outputs()]
        if "input_ids" not in inputs or not INPUTS.issuperset(inputs):
            raise CheckpointError(f"{self._path}: takes the inputs {', '.join(inputs)}, not those of a text")
        if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][1] not in (1, None):
            raise CheckpointError(f"{self._path}: gives outputs of the shapes {outputs}, not [texts, 1]")
        return inputs


def _graph(files: CrossEncoderFiles) -> Path:
    network = files.network
    if isinstance(network, Path):
        return network
    return kept_graph(
        "cross-encoders", network, lambda path: write_classifier(path, network.config, network.weights)
    )


def _activated(logits: FloatArray, activation: str) -> FloatArray:
    wide = logits.astype(np.float64)
    if activation == "sigmoid":
        wide = 0.5 * (1 + np.tanh(0.5 * wide))  # without an overflow at either end
    elif activation == "tanh":
        wide = np.tanh(wide)
    return wide.astype(np.float32)
