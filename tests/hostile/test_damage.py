"""Damaged, foreign and forged files: an error that names the file, or the right answers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import plait
from tests.hostile import court
from tests.hostile.court import Verdict, judge
from tests.hostile.judge import Damage

CATALOG = "catalog.sqlite"
KINDS = list(court.KINDS)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("damaged")
    return {kind: court.make(folder / kind, kind) for kind in KINDS}


def require_named(verdict: Verdict, damages: list[Damage]) -> None:
    """Each damage to an array is an error that names it, and nothing else is changed by it."""
    assert not verdict.findings, verdict.findings[0]
    for number, (name, message) in verdict.errors.items():
        assert name in ("IndexCorrupt", "IndexNotFound", "IndexTooNew"), (damages[number], message)
        files = damages[number].get("files") or [damages[number]["file"]]
        if CATALOG in files:  # it tells what the other files must be: any of them may be accused
            continue
        known = [Path(file).stem for file in files] + [CATALOG]
        known += [Path(file).parts[-2] for file in files]
        if damages[number]["how"] == "forge":  # found by a kernel, which knows its arrays by other names
            known.append("segments")
        assert any(part in message for part in known), (damages[number], message)


def flips(path: Path, every: bool, luck: random.Random) -> list[Damage]:
    """One flip for each byte, or for some of each file; of the catalog, those that are not 0."""
    damages = []
    for name in [*court.arrays(path), CATALOG]:
        content = (path / name).read_bytes()
        places = [place for place, byte in enumerate(content) if byte or name != CATALOG]
        if not every:
            places = luck.sample(places, min(len(places), 40 if name == CATALOG else 3))
        for place in places:
            bits = luck.choice([1, 128, 255, 1 << luck.randrange(8)])
            damages.append({"how": "flip", "file": name, "offset": place, "bits": bits})
    return damages


def judge_flips(path: Path, damages: list[Damage]) -> None:
    verdict = judge(path, damages)
    require_named(verdict, damages)
    altered = [damages[number] for number in [*verdict.changed, *verdict.unharmed]]
    assert {damage["file"] for damage in altered} <= {CATALOG}, altered
    # Texts, ids and metadata have no checksums: there a flip can only be seen by who knows them.
    assert len(verdict.changed) < 0.1 * len([damage for damage in damages if damage["file"] == CATALOG])


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes(indexes: dict[str, Path], kind: str):
    judge_flips(indexes[kind], flips(indexes[kind], every=False, luck=random.Random(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["children", "residual"])
def test_every_byte_flipped(indexes: dict[str, Path], kind: str):
    judge_flips(indexes[kind], flips(indexes[kind], every=True, luck=random.Random(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_length(indexes: dict[str, Path], kind: str):
    path = indexes[kind]
    damages = [
        {"how": "truncate", "file": name, "length": length}
        for name in court.arrays(path)
        for length in range((path / name).stat().st_size)
    ]
    damages += [
        {"how": "truncate", "file": CATALOG, "length": length}
        for length in range(0, (path / CATALOG).stat().st_size, 97)
    ]
    verdict = judge(path, damages)
    require_named(verdict, damages)
    assert len(verdict.errors) == len(damages)


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_files(indexes: dict[str, Path], kind: str):
    """Between segments, and within one."""
    path, luck = indexes[kind], random.Random(kind)
    names = court.arrays(path)
    pairs = [(a, b) for a in names for b in names if a < b]
    same = [pair for pair in pairs if Path(pair[0]).name == Path(pair[1]).name]
    content = {name: (path / name).read_bytes() for name in names}
    damages = [
        {"how": "swap", "files": pair}
        for pair in [*same, *luck.sample(pairs, min(len(pairs), 40))]
        if content[pair[0]] != content[pair[1]]
    ]
    verdict = judge(path, damages)
    require_named(verdict, damages)
    assert len(verdict.errors) == len(damages)


SHAPES = ["(-1, 4)", "(99999999999999, 99999999999)", "(3, )", "()", "(0,)", "(18446744073709551615,)"]
HEADERS = [
    *(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}" for shape in SHAPES),
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (3, 3), }",
    "__import__('os').abort()",
    "",
]


@pytest.mark.parametrize("kind", ["children", "residual"])
def test_absurd_headers_and_things_that_are_no_files(indexes: dict[str, Path], kind: str, tmp_path: Path):
    path = indexes[kind]
    (tmp_path / "elsewhere").write_bytes(b"something else" * 100)
    luck = random.Random(kind)
    targets = ["/dev/zero", "/dev/null", str(tmp_path / "elsewhere"), "nowhere", "codes.npy", "/"]
    damages: list[Damage] = []
    for name in court.arrays(path):
        damages += [{"how": "header", "file": name, "header": header} for header in luck.sample(HEADERS, 3)]
        damages += [{"how": "link", "file": name, "target": target} for target in luck.sample(targets, 2)]
        damages += [{"how": how, "file": name} for how in ("pipe", "folder")]
    verdict = judge(path, damages)
    require_named(verdict, damages)
    harmless = [damages[number] for number in verdict.unharmed]
    assert all(damage["how"] == "link" for damage in harmless), harmless
    assert not verdict.changed


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_that_take_no_room(indexes: dict[str, Path], kind: str):
    """A sparse file of a terabyte with a header to match is refused before anything is asked for."""
    damages = []
    for name in court.arrays(indexes[kind]):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 40},), }}"
        damages.append({"how": "sparse", "file": name, "header": header, "length": 1 << 40})
    verdict = judge(indexes[kind], damages)
    require_named(verdict, damages)
    assert len(verdict.errors) == len(damages)


def forgeries(path: Path) -> list[Damage]:
    damages: list[Damage] = []
    for name in court.arrays(path):
        damages += [{"how": "forge", "file": name, "seed": seed} for seed in range(3)]
        damages += [{"how": "forge", "file": name, "value": value} for value in (0, -1, 1 << 31)]
        damages.append({"how": "forge", "file": name, "value": float("inf")})
    return damages


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("some", [slice(0, None, 5), pytest.param(slice(None), marks=pytest.mark.slow)])
def test_forged_arrays(indexes: dict[str, Path], kind: str, some: slice):
    """Any numbers, with checksums that are right: an error, or other answers; never a crash."""
    damages = forgeries(indexes[kind])[some]
    verdict = judge(indexes[kind], damages)
    require_named(verdict, damages)


STATEMENTS = [
    "UPDATE document SET pid = 9999 WHERE pid = 5",
    "UPDATE document SET metadata = '[1, 2]' WHERE pid = 5",
    "UPDATE document SET metadata = '{' WHERE pid = 5",
    "UPDATE document SET metadata = '" + "[" * 100_000 + "' WHERE pid > 0",
    "UPDATE document SET text = x'fffe' WHERE pid > 0",
    "UPDATE document SET id = x'fffe' WHERE pid > 0 AND pid < 2",
    "UPDATE document SET text = CAST(x'fffe' AS TEXT) WHERE pid > 0",
    "UPDATE setting SET value = 'null'",
    "UPDATE setting SET value = '{}' WHERE key = 'encoder'",
    "UPDATE setting SET value = '7' WHERE key = 'encoder'",
    "UPDATE setting SET value = '1e400' WHERE key = 'dim'",
    "UPDATE setting SET value = '99999999999999999999' WHERE key = 'dim'",
    "UPDATE setting SET value = '[[[]]]' WHERE key = 'seed'",
    "INSERT OR REPLACE INTO setting VALUES ('calibration', '{\"documents\": \"x\"}')",
    'INSERT OR REPLACE INTO setting VALUES (\'calibration\', \'{"documents": 3, "queries": 1, '
    '"curves": {"-1": [["nan", 1]]}}\')',
    "INSERT OR REPLACE INTO setting VALUES ('fields', '7')",
    "INSERT OR REPLACE INTO setting VALUES ('fields', '{\"n\": \"int\"}')",
    "UPDATE segment SET ntokens = 9223372036854775807",
    "UPDATE segment SET ndocs = x'00'",
    "UPDATE segment SET checksums = '{}'",
    "UPDATE segment SET checksums = '{\"codes\": 1e999}'",
    "UPDATE segment SET codec = 'x'",
    "UPDATE segment SET segment = segment + 2",
    "UPDATE segment SET segment = -1 WHERE segment = 1",
    "UPDATE segment SET segment = 9223372036854775807 WHERE segment = 1",
    "UPDATE codec SET nbits = 'two'",
    "UPDATE codec SET ncentroids = 4611686018427387904",
    "UPDATE codec SET checksums = '[]'",
    "UPDATE codec SET trained_for = 'much'",
    "INSERT INTO tombstone VALUES (-9223372036854775808)",
    "DELETE FROM tombstone",
    "DELETE FROM sqlite_sequence",
    "UPDATE sqlite_sequence SET seq = 'x'",
    "DROP TABLE tombstone; CREATE TABLE tombstone (pid); INSERT INTO tombstone VALUES ('x')",
    "DROP TABLE document; CREATE VIEW document AS WITH RECURSIVE r(pid) AS (SELECT 1 UNION ALL "
    "SELECT pid + 1 FROM r) SELECT pid, 'a' AS id, NULL AS text, NULL AS metadata FROM r",
    "CREATE TRIGGER t AFTER INSERT ON document BEGIN DELETE FROM document; END",
    "DROP TABLE setting",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 0",
    "PRAGMA application_id = 1",
]


def test_forged_catalogs(indexes: dict[str, Path]):
    damages = [{"how": "sql", "file": CATALOG, "statements": statement} for statement in STATEMENTS]
    verdict = judge(indexes["scaled"], damages)
    require_named(verdict, damages)
    wrong = [damages[number]["statements"] for number in verdict.changed]
    assert not wrong, wrong


def test_the_catalog_of_another_index(indexes: dict[str, Path], tmp_path: Path):
    """Other documents of the same number, other kinds of codecs."""
    other = court.make(tmp_path / "other", "scaled", seed=4)
    for kind in KINDS:
        damages = [{"how": "replace", "file": CATALOG, "source": str(other / CATALOG)}]
        verdict = judge(indexes[kind], damages)
        require_named(verdict, damages)
        assert len(verdict.errors) == 1


@pytest.mark.parametrize("target", ["codecs/000001", "segments/000001", "segments", "codecs"])
def test_folders_may_be_links(tmp_path: Path, target: str):
    """Somebody moved a part of the index to another disk."""
    path = court.make(tmp_path / "index", "scaled")
    (path / target).rename(tmp_path / "moved")
    (path / target).symlink_to(tmp_path / "moved")
    with plait.Index.open(path) as index:
        assert len(index) == 15
        assert not index.verify()
        assert len(index.search([[1.0] * 8], 20)) == 15


def test_a_link_in_the_place_of_a_new_segment_loses_nothing_elsewhere(tmp_path: Path):
    """What the link leads to belongs to somebody else."""
    path = court.make(tmp_path / "index", "scaled")
    for number in range(3, 9):
        (path / f"segments/{number:06d}").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("mine")
    with plait.Index.open(path) as index:
        index.add(vectors=[[[1.0] * 8]], ids=["new"])
        assert len(index) == 16
    assert (tmp_path / "mine" / "precious").read_text() == "mine"
    assert not list((tmp_path / "mine").glob("*.npy"))
