"""A process that damages an index in one way after the other, and says what plait makes of each.

It runs under limits of memory and time. A crash, a hang or a foreign error is a finding of the test that
started it. Jobs come in as JSON on standard input; for each damage a line of JSON goes out before and after.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

#: Seconds for one opening and a few searches.
PATIENCE = 30

Damage = dict[str, Any]


def main() -> None:
    """Judge what comes in."""
    if kernels := os.environ.get("HOSTILE_KERNELS"):
        use_kernels(kernels)
    job = json.loads(sys.stdin.read())
    path = Path(job["index"])
    tell(sound=answers(path))
    if job["memory"]:
        limit = virtual_memory() + job["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, give_up)
    for number, damage in enumerate(job["damages"]):
        tell(begun=number)
        with damaged(path, damage):
            signal.alarm(PATIENCE)
            tell(number=number, **judged(path))
            signal.alarm(0)


def use_kernels(path: str) -> None:
    """Native code built another way, as plait's own."""
    from importlib import util

    spec = util.spec_from_file_location("plait.kernels._native", path)
    module = util.module_from_spec(spec)
    sys.modules["plait.kernels._native"] = module
    spec.loader.exec_module(module)
    import plait.kernels as parent

    assert parent._native.__file__ == path


def virtual_memory() -> int:
    """Bytes of address space in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def give_up(*_: object) -> None:
    """What the alarm does."""
    raise TimeoutError


def tell(**words: Any) -> None:
    """A line for the test."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def judged(path: Path) -> dict[str, Any]:
    """Answers, or the error."""
    import plait

    try:
        return {"answers": answers(path)}
    except plait.PlaitError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # noqa: BLE001  the test must hear of it
        return {"foreign": f"{type(error).__name__}: {error}"}


def answers(path: Path) -> list[Any]:
    """What a user can ask, in a form that can be compared; impossible answers raise."""
    import plait

    with plait.Index.open(path) as index:
        query = np.random.default_rng(1).normal(size=(3, index.stats().dim)).astype(np.float32)
        found = []
        for scan in (True, False):
            hits = index.search(query, 20, params=plait.SearchParams(scan=scan), threads=1)
            scores = [hit.score for hit in hits]
            assert len(hits) == len({hit.id for hit in hits}) == min(20, len(index)), "k is not honoured"
            assert scores == sorted(scores, reverse=True), "not in order"
            assert np.isfinite(scores).all(), "a score is not finite"
            found.append([list(hit) for hit in hits])
        if index.stats().bytes_bi_encoder is not None:
            found += [[list(hit) for hit in some] for some in by_parts(index, query)]
        for hit in hits:
            document = index.get(hit.id)
            if document is None:  # the catalog's own index is damaged, as `verify` would say
                found.append(None)
                continue
            assert isinstance(document.id, str), "an id is no string"
            assert isinstance(document.text, str | None), "a text is no string"
            assert isinstance(document.metadata, dict), "metadata is no dict"
            found.append([document.id, document.text, document.metadata])
        found.append(index.stats().documents)
        index.search(query, 3, recall_target=0.9, threads=1)
        return found


def by_parts(index: Any, query: np.ndarray) -> list[list[Any]]:
    """What the optional parts of segments answer."""
    single, words = index.search_bi_encoder(query, 20, threads=1), index.search_bm25("ä text", 20)
    assert len(single) == len({hit.id for hit in single}) == min(20, len(index)), "k is not honoured"
    assert len(words) == len({hit.id for hit in words}) <= 20, "k is not honoured"
    for hits in (single, words):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True), "not in order"
        assert np.isfinite(scores).all(), "a score is not finite"
    return [single, words]


# Damages -----------------------------------------------------------------------------------------------


@contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    """The index with a damage, which is undone at the end."""
    names = damage.get("files") or [damage["file"]]
    kept = {name: (path / name).read_bytes() for name in {*names, "catalog.sqlite"}}
    try:
        DAMAGES[damage["how"]](path, damage)
        yield
    finally:
        for name, content in kept.items():
            remove(path / name)
            (path / name).write_bytes(content)
        for leftover in path.glob("catalog.sqlite-*"):
            remove(leftover)


def remove(path: Path) -> None:
    """Whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flip(path: Path, damage: Damage) -> None:
    """Bits of one byte."""
    with (path / damage["file"]).open("r+b") as file:
        file.seek(damage["offset"])
        byte = file.read(1)[0]
        file.seek(damage["offset"])
        file.write(bytes([byte ^ damage["bits"]]))


def truncate(path: Path, damage: Damage) -> None:
    """The end is missing."""
    os.truncate(path / damage["file"], damage["length"])


def swap(path: Path, damage: Damage) -> None:
    """Two files in each other's place."""
    first, second = (path / name for name in damage["files"])
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def forge(path: Path, damage: Damage) -> None:
    """All data of an array is another, and its checksum is right: somebody means harm."""
    file = path / damage["file"]
    kind, number, name = file.parent.parent.name, int(file.parent.name), file.stem
    array = np.load(file)
    flat = array.reshape(-1).view(np.uint8)
    if "value" in damage:
        with np.errstate(all="ignore"):
            array.reshape(-1)[:] = np.array(damage["value"]).astype(array.dtype)
    else:
        flat[:] = np.random.default_rng(damage["seed"]).integers(0, 256, flat.size)
    np.save(file, array)
    table = kind.removesuffix("s")
    with sqlite3.connect(path / "catalog.sqlite") as catalog:
        row = f"FROM {table} WHERE {table} = {number}"
        checksums = json.loads(catalog.execute(f"SELECT checksums {row}").fetchone()[0])
        checksums[name] = zlib.crc32(array.tobytes())
        statement = f"UPDATE {table} SET checksums = ? WHERE {table} = {number}"
        catalog.execute(statement, (json.dumps(checksums),))
    catalog.close()


def header(path: Path, damage: Damage) -> None:
    """An absurd header, with the data that was there."""
    file = path / damage["file"]
    data = file.read_bytes()[128:]
    text = damage["header"].encode().ljust(117) + b"\n"
    file.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)


def sql(path: Path, damage: Damage) -> None:
    """The catalog is changed by statements."""
    catalog = sqlite3.connect(path / "catalog.sqlite")
    catalog.create_function("crc", 1, zlib.crc32)
    catalog.executescript(damage["statements"])
    catalog.close()


def link(path: Path, damage: Damage) -> None:
    """A symbolic link in the place of a file."""
    (path / damage["file"]).unlink()
    (path / damage["file"]).symlink_to(damage["target"])


def pipe(path: Path, damage: Damage) -> None:
    """A named pipe that nobody writes to."""
    (path / damage["file"]).unlink()
    os.mkfifo(path / damage["file"])


def folder(path: Path, damage: Damage) -> None:
    """A folder in the place of a file."""
    (path / damage["file"]).unlink()
    (path / damage["file"]).mkdir()


def replace(path: Path, damage: Damage) -> None:
    """The file of another index."""
    shutil.copyfile(damage["source"], path / damage["file"])


def sparse(path: Path, damage: Damage) -> None:
    """As long as the header says, and empty: terabytes that take no room."""
    file = path / damage["file"]
    header(path, damage)
    os.truncate(file, 128 + damage["length"])


DAMAGES = {
    function.__name__: function
    for function in (flip, truncate, swap, forge, header, sql, link, pipe, folder, replace, sparse)
}

if __name__ == "__main__":
    main()
