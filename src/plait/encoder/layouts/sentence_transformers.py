"""Checkpoints of sentence-transformers 6: a MultiVectorEncoder, with prompts as text and settings in its
modules.
"""

from __future__ import annotations

from pathlib import Path

from plait.encoder.json_file import JsonFile
from plait.encoder.layouts.layout import Checkpoint, NetworkFiles
from plait.encoder.layouts.modules import Modules, read_modules
from plait.encoder.layouts.pylate import CONFIG
from plait.encoder.layouts.tokens import filling_token, find_tokenizer, unread_keys
from plait.encoder.settings import LONGEST, EncoderSettings
from plait.encoder.tokenizer import read_tokenizer
from plait.encoder.weights import weight_files
from plait.errors import CheckpointError

LENGTHS = "sentence_bert_config.json"
_CONFIG_KEYS = {"model_type", "__version__", "prompts", "default_prompt_name", "similarity_fn_name"}
_LENGTH_KEYS = {
    *("transformer_task", "modality_config", "module_output_name", "query_length", "document_length"),
    *("query_expansion", "max_seq_length", "do_lower_case"),
}
_MASK_KEYS = {"skiplist_words", "skiplist_tasks", "keep_only_token_ids"}


def is_sentence_transformers(folder: Path) -> bool:
    """Whether the module list is there; single-vector models are refused when it is read."""
    return (folder / CONFIG).is_file()


def read_sentence_transformers(folder: Path, name: str) -> Checkpoint:
    """Find the parts of a MultiVectorEncoder (sentence-transformers 6.0 and later)."""
    config = JsonFile.read(folder / CONFIG)
    modules = read_modules(folder)
    if config.text("model_type", "SentenceTransformer") != "MultiVectorEncoder":
        raise config.error(
            "model_type",
            f"is {config.text('model_type', 'missing')!r}; 'MultiVectorEncoder' or 'ColBERT' is expected",
        )
    lengths = JsonFile.read(modules.folder / LENGTHS)
    remarks = unread_keys(config, _CONFIG_KEYS) + unread_keys(lengths, _LENGTH_KEYS)
    if config.text("similarity_fn_name", "maxsim").lower() != "maxsim":
        remarks.append(
            f"{config.path}: similarity_fn_name is {config.text('similarity_fn_name')!r}; the scores here "
            f"are plain "
            f"MaxSim"
        )
    if lengths.text("module_output_name", "token_embeddings") != "token_embeddings":
        raise lengths.error("module_output_name", "must be 'token_embeddings' in a ColBERT model")
    if lengths.flag("do_lower_case", False):
        raise lengths.error("do_lower_case", "is true; only the tokenizer's own rules are followed here")
    tokenizer = find_tokenizer(modules.folder)
    mask = filling_token(modules.folder, read_tokenizer(tokenizer).get_vocab())
    longest = _longest(modules.folder, lengths)
    settings = _settings(name, config, lengths, modules, mask, longest)
    network = NetworkFiles(
        JsonFile.read(modules.folder / "config.json"), weight_files(modules.folder), modules.projections
    )
    files = (*modules.files, lengths.path)
    return Checkpoint(settings, config.path, tokenizer, network, files, tuple(remarks))


def _settings(
    name: str, config: JsonFile, lengths: JsonFile, modules: Modules, mask_token: str | None, longest: int
) -> EncoderSettings:
    query_length = lengths.count("query_length", longest)
    filled, attend, token = None, False, None
    if lengths.has("query_expansion"):
        expansion = lengths.part("query_expansion")
        strategy = expansion.text("strategy")
        if strategy not in ("fixed", "min"):
            raise expansion.error("strategy", f"is {strategy!r}; 'fixed' or 'min' is expected")
        filled, attend = expansion.count("length"), expansion.flag("attend", False)
        if lengths.has("query_length") and query_length < filled:
            raise lengths.error(
                "query_length", f"is {query_length}, but query_expansion fills up to {filled}"
            )
        query_length = filled if strategy == "fixed" else max(query_length, filled)
        token = expansion.text("token", mask_token or "")
        if not token:
            raise CheckpointError(f"{expansion.path}: no token is named with which queries could be filled")
    words, in_queries = _skiplist(modules.mask)
    prompts = config.part("prompts").values if config.has("prompts") else {}
    query, document = (
        _prompt(config, prompts, ("query",)),
        _prompt(config, prompts, ("document", "passage", "corpus")),
    )
    return EncoderSettings(
        name=name,
        dim=modules.dim,
        query_length=query_length,
        document_length=lengths.count("document_length", longest),
        query_prompt=query,
        document_prompt=document,
        query_expansion=filled is not None,
        query_expansion_length=filled if filled != query_length else None,
        attend_to_expansion_tokens=attend,
        mask_token=token,
        skiplist_words=words,
        skiplist_match="word",
        skiplist_in_queries=in_queries,
        normalise=modules.normalised,
    )


def _prompt(config: JsonFile, prompts: dict[str, object], names: tuple[str, ...]) -> str:
    """The first of these prompts that is there."""
    for name in names:
        if name in prompts:
            value = prompts[name] or ""
            if not isinstance(value, str):
                raise config.error("prompts", f"must hold strings, not {value!r}")
            return value
    return ""


def _skiplist(mask: JsonFile | None) -> tuple[tuple[str, ...], bool]:
    """The words whose vectors are left out, and whether out of queries too."""
    if mask is None:
        return (), False
    for key in mask.values:
        if key not in _MASK_KEYS:
            raise mask.error(key, "is not known here, and may change which vectors are kept")
    if mask.values.get("keep_only_token_ids"):
        raise mask.error(
            "keep_only_token_ids", "is set, which models of images have; only text is encoded here"
        )
    words, tasks = mask.texts("skiplist_words", ()), mask.texts("skiplist_tasks", ("document",))
    if not words or not tasks:
        return (), False
    if "document" not in tasks:
        raise mask.error(
            "skiplist_tasks", f"is {list(tasks)}; a skiplist without documents is not known here"
        )
    return words, "query" in tasks


def _longest(folder: Path, lengths: JsonFile) -> int:
    """The length that holds where none is set: the tokenizer's, which the network's positions cap."""
    if lengths.has("max_seq_length"):
        return lengths.count("max_seq_length")
    path = folder / "tokenizer_config.json"
    value = JsonFile.read(path).values.get("model_max_length") if path.is_file() else None
    return value if isinstance(value, int) and 3 <= value <= LONGEST else LONGEST
