"""The module list of sentence-transformers and PyLate: a network, Dense layers, a mask, scaling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.encoder.graph import Projection
from plait.encoder.json_file import JsonFile, read_json
from plait.encoder.weights import Weights, weight_files
from plait.errors import CheckpointError

MODULES = "modules.json"
_ACTIVATIONS = {
    "linear.Identity": "",
    "activation.GELU": "gelu",
    "activation.Tanh": "tanh",
    "activation.ReLU": "relu",
    "activation.SiLU": "silu",
    "activation.Sigmoid": "sigmoid",
    "activation.Mish": "mish",
}
_DENSE_KEYS = {
    "in_features",
    "out_features",
    "bias",
    "activation_function",
    "use_residual",
    "module_input_name",
    "module_output_name",
}


@dataclass(frozen=True, slots=True)
class Modules:
    """What ``modules.json`` lists.

    Attributes:
        folder: where the network is.
        projections: the Dense layers, in order.
        dim: what the last of them gives.
        files: their configurations.
        mask: the configuration of a MultiVectorMask, if there is one.
        normalised: whether a Normalize module is among them.
    """

    folder: Path
    projections: tuple[Projection, ...]
    dim: int
    files: tuple[Path, ...]
    mask: JsonFile | None
    normalised: bool


def read_modules(root: Path) -> Modules:
    """Read the list and the modules behind the network.

    Raises:
        CheckpointError: there is another module than Transformer, Dense, MultiVectorMask and Normalize, or
            they are in another order.
    """
    path = root / MODULES
    entries = [_entry(path, place, value) for place, value in enumerate(_list(path))]
    if not entries or entries[0][0] != "Transformer":
        raise CheckpointError(f"{path}: the first module must be a Transformer")
    projections: list[Projection] = []
    files: list[Path] = []
    mask, normalised, dim = None, False, 0
    for kind, folder in entries[1:]:
        if kind == "Dense" and mask is None and not normalised:
            files.append(root / folder / "config.json")
            projection, dim = _projection(JsonFile.read(files[-1]))
            projections.append(projection)
        elif kind == "MultiVectorMask" and mask is None:
            files.append(root / folder / "config.json")
            mask = JsonFile.read(files[-1])
        elif kind == "Normalize" and not normalised:
            normalised = True
        else:
            raise CheckpointError(f"{path}: {_misfit(kind)}")
    if not projections:
        raise CheckpointError(
            f"{path}: lists no Dense module, so this is no ColBERT checkpoint; a projection has to be "
            f"trained first"
        )
    return Modules(root / entries[0][1], tuple(projections), dim, tuple(files), mask, normalised)


def _list(path: Path) -> list[Any]:
    values = read_json(path)
    if not isinstance(values, list):
        raise CheckpointError(f"{path}: must hold a list of modules, not {type(values).__name__}")
    return values


def _entry(path: Path, place: int, value: Any) -> tuple[str, str]:
    """The last part of a module's class, and its folder."""
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: module {place} must be a JSON object, not {value!r}")
    entry = JsonFile(path, value, f"module {place}: ")
    folder = entry.text("path", "")
    if folder not in ("", Path(folder).name):
        raise entry.error("path", f"must be a folder beside it, not {folder!r}")
    return entry.text("type").rpartition(".")[2], folder


def _misfit(kind: str) -> str:
    if kind == "Pooling":
        return "lists a Pooling module: this model gives one vector per text, and is no ColBERT checkpoint"
    return (
        f"lists the module {kind} where it can't be used; known are one Transformer, then Dense modules, "
        f"then "
        f"MultiVectorMask and Normalize"
    )


def _projection(config: JsonFile) -> tuple[Projection, int]:
    """One Dense module and the width of what it gives."""
    for key in config.values:
        if key not in _DENSE_KEYS:
            raise config.error(key, "is not known here, and may change the vectors")
    for key in ("module_input_name", "module_output_name"):
        if config.text(key, "token_embeddings") != "token_embeddings":
            raise config.error(
                key, f"is {config.text(key)!r}; a layer on single tokens has 'token_embeddings'"
            )
    weights = weight_files(config.path.parent)
    shape = Weights(weights).shape("linear.weight")
    wanted = (config.count("out_features"), config.count("in_features"))
    if shape != wanted:
        raise CheckpointError(
            f"{weights[0]}: linear.weight has the shape {shape}, but {config.path} says {wanted}"
        )
    return (
        Projection(
            weights, _activation(config), config.flag("bias", True), config.flag("use_residual", False)
        ),
        wanted[0],
    )


def _activation(config: JsonFile) -> str:
    name = config.text("activation_function")
    known = name.removeprefix("torch.nn.modules.")
    if known not in _ACTIVATIONS:
        raise config.error("activation_function", f"is {name!r}; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[known]
