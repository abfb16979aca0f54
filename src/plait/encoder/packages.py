"""Cross-encoders that come as packages of their own, found by their names.

Such a package has an entry point in the group ``GROUP``: the name of the cross-encoder, and the module in
whose folder its files are. ``packages/`` in plait's repository holds one.
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from plait.errors import CheckpointError, SourceNotFound

GROUP = "plait.cross_encoders"
#: The one that is taken when none is named.
DEFAULT = "minilm"
_HOW_TO_GET = (
    "The package plait-cross-encoder-minilm brings one named minilm: in a clone of plait's repository, "
    "pip install ./packages/plait-cross-encoder-minilm"
)


def installed() -> dict[str, EntryPoint]:
    """The cross-encoders of installed packages, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def is_packaged(model: str | os.PathLike[str]) -> bool:
    """Whether this can only be the name of a packaged cross-encoder: a plain word, and no folder here."""
    return isinstance(model, str) and Path(model).name == model and not Path(model).exists()


def packaged_folder(name: str = DEFAULT) -> Path:
    """The folder of a packaged cross-encoder.

    Raises:
        SourceNotFound: no installed package brings it.
        CheckpointError: the package is damaged.
    """
    found = installed()
    if name in found:
        return _folder(found[name])
    known = ", ".join(sorted(found)) or "none"
    raise SourceNotFound(
        f"no cross-encoder named {name!r} is installed (installed: {known}), and there is no folder of that "
        f"name. {_HOW_TO_GET}, or give the folder of another"
    )


def _folder(entry: EntryPoint) -> Path:
    try:
        spec = find_spec(entry.module)
    except ImportError:
        spec = None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise CheckpointError(
            f"the package of the cross-encoder {entry.name!r} has no module {entry.module}: install it again"
        )
    return Path(places[0])
