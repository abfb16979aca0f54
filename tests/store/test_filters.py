"""Filters mean what docs/filters.md says, and say what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait import errors
from plait.types import TokenEmbeddings
from tests.conftest import clustered

NAMES = [
    *("year", "tags", "a.b", "$price", "it's", 'quo"te', "ba\\ck"),
    *("nul\x00", "ü", "", "deep", "a[0]", "new\nline"),
]
TEXTS = [
    *("", "a", "ab", "é", "x\x00y", "x", "'; DROP TABLE document; --"),
    *('"', "%", "10", "null", "[1]", "\U0001f600"),
]
NUMBERS = [
    *(0, 1, -1, 1.0, 0.5, 0.30000000000000004, 1e300),
    *(2**53 + 1, float(2**53), -(2**63), 2**63 - 1, 2**70),
]
scalars = (
    st.sampled_from([*TEXTS, *NUMBERS, True, False, None]) | st.integers(-5, 5) | st.text("ab'", max_size=3)
)


def objects(inner):
    return st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)


values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=4)


def written(name: str) -> str:
    """A field's name as a filter has it."""
    return "$" + name if name.startswith("$") else name


ordered = st.sampled_from([*TEXTS, *NUMBERS])
some_scalars = st.lists(scalars, max_size=3)
OPERANDS = {
    "$eq": scalars,
    "$ne": scalars,
    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), ordered),
    "$in": some_scalars,
    "$nin": some_scalars,
    "$exists": st.booleans(),
    "$contains": ordered | st.booleans(),
}


def operators(operands: dict):
    """One or two operators with their operands."""
    one = st.one_of([st.tuples(st.just(name), operand) for name, operand in operands.items()])
    return st.lists(one, min_size=1, max_size=2).map(dict)


names = st.sampled_from(NAMES).map(written)
fields = st.recursive(
    operators(OPERANDS),
    lambda inner: (
        st.dictionaries(st.sampled_from(NAMES).map(written), inner | scalars, min_size=1, max_size=2)
        | inner.map(lambda one: {"$not": one})
    ),
    max_leaves=3,
)
filters = st.recursive(
    st.dictionaries(names, fields | scalars, max_size=2),
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda some: st.sampled_from([{"$and": some}, {"$or": some}, {"$not": some[0]}])
    ),
    max_leaves=4,
)

# What docs/filters.md says, read plainly ----------------------------------------------------------


def matches(document: Any, wanted: dict) -> bool:
    for key, value in wanted.items():
        if key == "$and":
            held = all(matches(document, one) for one in value)
        elif key == "$or":
            held = any(matches(document, one) for one in value)
        elif key == "$not":
            held = not matches(document, value)
        else:
            held = field_matches(inside(document, key), value)
        if not held:
            return False
    return True


def inside(value: Any, key: str) -> Any:
    key = key[1:] if key.startswith("$$") else key
    return value.get(key) if isinstance(value, dict) else None  # null is the same as not there


def field_matches(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return equal(value, wanted)
    return all(holds(value, operator, operand) for operator, operand in wanted.items())


HOLDS = {
    "$eq": lambda value, operand: equal(value, operand),
    "$ne": lambda value, operand: not equal(value, operand),
    "$in": lambda value, operand: any(equal(value, one) for one in operand),
    "$nin": lambda value, operand: not any(equal(value, one) for one in operand),
    "$exists": lambda value, operand: (value is not None) == operand,
    "$not": lambda value, operand: not field_matches(value, operand),
    "$contains": lambda value, operand: contains(value, operand),
    "$gt": lambda value, operand: comparable(value, operand) and as_number(value) > as_number(operand),
    "$gte": lambda value, operand: comparable(value, operand) and as_number(value) >= as_number(operand),
    "$lt": lambda value, operand: comparable(value, operand) and as_number(value) < as_number(operand),
    "$lte": lambda value, operand: comparable(value, operand) and as_number(value) <= as_number(operand),
}


def holds(value: Any, operator: str, operand: Any) -> bool:
    if operator in HOLDS:
        return HOLDS[operator](value, operand)
    return field_matches(inside(value, operator), operand)


def contains(value: Any, operand: Any) -> bool:
    if isinstance(value, str):
        return isinstance(operand, str) and operand in value
    return isinstance(value, list) and any(equal(one, operand) for one in value)


def comparable(value: Any, operand: Any) -> bool:
    return kind(value) == kind(operand) and kind(value) in ("number", "text")


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def as_number(value: Any) -> Any:
    """Whole numbers of more than 64 bits are compared as floating-point ones."""
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def equal(one: Any, other: Any) -> bool:
    return kind(one) == kind(other) and as_number(one) == as_number(other)


# --------------------------------------------------------------------------------------------------


def index_of(path: Path, records: list[dict | None], **how: Any) -> plait.Index:
    index = plait.Index.create(path, dim=2, **how)
    rows = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(records), 1))
    index.add(vectors=TokenEmbeddings(rows, np.ones(len(records), dtype=np.int64)), metadata=records)
    return index


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(objects(values), min_size=1, max_size=8),
    wanted=st.lists(filters, min_size=5, max_size=20),
)
def test_filters_mean_what_the_page_says(tmp_path_factory, records, wanted):
    records = [*records, {name: [] for name in NAMES}]  # so that few fields are unknown
    with index_of(tmp_path_factory.mktemp("filters") / "index", records) as index:
        for one in wanted:
            expected = [str(place) for place, record in enumerate(records) if matches(record, one)]
            try:
                found = list(index.ids(filter=one))
            except errors.InvalidFilter as error:
                assert "a field that no document has" in str(error)
                continue
            assert found == expected, one
            assert index.count(one) == len(expected)
            hits = index.search([[1.0, 0.0]], 10, filter=one)
            assert [hit.id for hit in hits] == expected


DECLARED = {"year": int, "ratio": float, "lang": str, "open": bool, "tags": list, "it's": str}
declared_records = st.fixed_dictionaries({}, optional={
    "year": st.sampled_from([None, 0, 1990, 2020, -(2**63), 2**53 + 1]),
    "ratio": st.sampled_from([None, 0, 0.5, 0.30000000000000004, 1990]),
    "lang": st.sampled_from([None, "", "en", "fr", "it's", "\U0001f600"]),
    "it's": st.sampled_from([None, "en", "'"]),
    "open": st.sampled_from([None, True, False]),
    "tags": st.lists(st.sampled_from(["en", 1, 1.5, True, None, ["en"]]), max_size=3),
})  # fmt: skip
numbers = st.sampled_from(
    [0, 1990, 1990.0, 2020, 0.5, 0.30000000000000004, 2**53 + 1, float(2**53), -(2**63)]
)
strings = st.sampled_from(["", "en", "fr", "e", "it's", "\x00", "\U0001f600"])


def of_kind(scalar, orders: bool):
    some = st.lists(scalar | st.none(), max_size=3)
    operands = {"$eq": scalar | st.none(), "$ne": scalar, "$in": some, "$nin": some, "$exists": st.booleans()}
    if orders:
        operands |= dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), scalar)
    return operators(operands)


declared_filters = st.recursive(
    st.fixed_dictionaries({}, optional={
        "year": of_kind(numbers, True),
        "ratio": of_kind(numbers, True),
        "lang": of_kind(strings, True) | strings.map(lambda text: {"$contains": text}),
        "it's": of_kind(strings, True),
        "open": of_kind(st.booleans(), False),
        "tags": st.sampled_from(["en", 1, 1.0, True]).map(lambda value: {"$contains": value}),
    }),
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda some: st.sampled_from([{"$and": some}, {"$or": some}, {"$not": some[0]}])
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    records=st.lists(declared_records, min_size=1, max_size=8),
    wanted=st.lists(declared_filters, min_size=5, max_size=20),
)
def test_declared_fields_mean_the_same(tmp_path_factory, records, wanted):
    with index_of(tmp_path_factory.mktemp("filters") / "index", records, fields=DECLARED) as index:
        for one in wanted:
            expected = [str(place) for place, record in enumerate(records) if matches(record, one)]
            assert list(index.ids(filter=one)) == expected, one


MALFORMED = [
    ("year", "filter must be a dict such as"),
    ([("year", 1)], "filter must be a dict"),
    (
        {"year": {"$gt3": 1}},
        r"filter\['year'\]\['\$gt3'\] has the unknown operator '\$gt3'; known are \$eq \$ne",
    ),
    (
        {"$nor": [{"year": 1}]},
        r"filter\['\$nor'\] has the unknown operator '\$nor'; known are \$and \$or \$not",
    ),
    ({"$gte": 3}, r"filter\['\$gte'\] has the unknown operator"),
    ({"$and": []}, r"filter\['\$and'\] must be a list of at least one filter"),
    ({"$or": {"year": 1}}, r"filter\['\$or'\] must be a list"),
    ({"$or": [{"year": 1}, "x"]}, r"filter\['\$or'\]\[1\] must be a filter, a dict, not 'x'"),
    ({"$not": [{"year": 1}]}, r"filter\['\$not'\] must be a filter"),
    ({"year": {"$not": 3}}, r"filter\['year'\]\['\$not'\] must be a dict of operators"),
    ({"year": {}}, r"filter\['year'\] is an empty dict"),
    ({"year": {"$gte": None}}, r"filter\['year'\]\['\$gte'\] must be a number or a string"),
    ({"year": {"$lt": True}}, r"filter\['year'\]\['\$lt'\] must be a number or a string"),
    ({"year": {"$lt": [1]}}, r"must be a string, a number, True, False or None, not \[1\]"),
    ({"year": [1, 2]}, r"filter\['year'\] must be a string, a number"),
    ({"year": {"$in": "ab"}}, r"filter\['year'\]\['\$in'\] must be a list of values"),
    ({"year": {"$in": 3}}, r"must be a list of values, not 3"),
    ({"year": {"$in": [1, {}]}}, r"filter\['year'\]\['\$in'\]\[1\] must be a string"),
    ({"year": {"$exists": 1}}, r"filter\['year'\]\['\$exists'\] must be True or False"),
    ({"year": {"$contains": None}}, r"must be a string, a number, True or False, not None"),
    ({"year": float("nan")}, r"filter\['year'\] must be finite"),
    ({"year": 10**400}, r"is too large a number"),
    ({"year": "\ud800"}, r"is not valid Unicode"),
    ({3: 1}, r"filter\[3\] the name of a field must be a string"),
    ({"year": {3: 1}}, r"filter\['year'\]\[3\] the name of a field or operator"),
    ({"yaer": 1}, r"filter\['yaer'\] tests a field that no document has"),
    (
        {"$or": [{"year": 1}, {"yaer": {"$gt": 1}}]},
        r"filter\['\$or'\]\[1\]\['yaer'\]\['\$gt'\] tests a field that",
    ),
    ({"year": {"month": 1}}, r"filter\['year'\]\['month'\] tests a field that no document has"),
    ({"year": {"$in": list(range(30_000))}}, r"more than 20,000 values"),
    ({"$or": [{"year": number} for number in range(1_001)]}, r"more than 1,000 tests"),
]


@pytest.mark.parametrize(("wrong", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, wrong, message):
    with index_of(tmp_path / "index", [{"year": 1}, {"year": 2}]) as index:
        for use in (
            lambda: index.search([[1.0, 0.0]], filter=wrong),
            lambda: index.search_all([[[1.0, 0.0]]], filter=wrong),
            lambda: index.count(wrong),
            lambda: index.delete(filter=wrong),
            lambda: next(index.documents(filter=wrong)),
        ):
            with pytest.raises(errors.InvalidFilter, match=message):
                use()
        assert len(index) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"year": "2020"}, r"filter\['year'\] 'year' is declared as int and can't be compared with '2020'"),
        ({"year": True}, "declared as int and can't be compared with True"),
        ({"lang": {"$gte": 3}}, r"filter\['lang'\]\['\$gte'\] 'lang' is declared as str and can't"),
        ({"lang": {"$in": ["en", 3]}}, "declared as str and can't be compared with 3"),
        ({"open": {"$gt": 1}}, "declared as bool, which has no order"),
        ({"open": 1}, "declared as bool and can't be compared with 1"),
        ({"year": {"$contains": 1}}, "declared as int, which contains nothing"),
        ({"tags": "en"}, r"declared as list: use \$contains"),
        ({"year": {"month": 3}}, "declared as int: it has no fields"),
        ({"year": {"month": {"$exists": True}}}, "declared as int: it has no fields"),
        ({"yaer": 3}, "a field that no document has; declared are year, ratio, lang, open, tags, it's"),
    ],
)
def test_types_are_compared_with_what_was_declared(tmp_path: Path, wrong, message):
    with index_of(tmp_path / "index", [{"year": 1}], fields=DECLARED) as index:
        with pytest.raises(errors.InvalidFilter, match=message):
            index.count(wrong)
        assert index.fields == {name: kind.__name__ for name, kind in DECLARED.items()}
        assert index.count({"lang": "fr"}) == 0, "declared, and in no document yet"


def test_documents_hold_what_was_declared(tmp_path: Path):
    with index_of(tmp_path / "index", [{"year": 1}], fields=DECLARED) as index:
        for record, message in [
            ({"year": "1"}, r"metadata\[0\]\['year'\] is declared as int, but is '1'"),
            ({"year": True}, "declared as int, but is True"),
            ({"year": 2**63}, "does not fit into 64 bits"),
            ({"lang": 3}, "declared as str, but is 3"),
            ({"lang": "a\x00"}, "holds a NUL"),
            ({"open": 1}, "declared as bool"),
            ({"tags": "a"}, "declared as list"),
        ]:
            with pytest.raises(errors.InvalidParameter, match=message):
                index.add(vectors=[[[1.0, 0.0]]], metadata=[record])
            with pytest.raises(errors.InvalidParameter, match=message):
                index.update_metadata("0", record)
        assert index.add(vectors=[[[1.0, 0.0]]], metadata=[{"year": None, "ratio": 3, "other": "a\x00"}]) == [
            "1"
        ]


@pytest.mark.parametrize(
    "fields", [{'a"b': int}, {"a\\": int}, {"": int}, {"a": "int"}, {"a": dict}, {3: int}]
)
def test_fields_that_cannot_be_declared(tmp_path: Path, fields):
    with pytest.raises(errors.InvalidParameter, match="fields"):
        plait.Index.create(tmp_path / "index", dim=2, fields=fields)
    assert not (tmp_path / "index").exists()


def test_declared_fields_use_their_index(tmp_path: Path):
    with index_of(tmp_path / "index", [{"year": 1, "lang": "en"}], fields=DECLARED) as index:
        for one in (
            {"year": {"$gte": 3}},
            {"lang": "en", "open": True},
            {"$or": [{"year": 3}, {"it's": "x"}]},
        ):
            with index._reading() as snapshot:
                catalog = snapshot._open_catalog()
                condition = catalog.condition(one)
                plan = catalog._connection.execute(
                    f"EXPLAIN QUERY PLAN SELECT pid FROM document WHERE {condition.sql}", condition.parameters
                ).fetchall()
            assert "USING" in str(plan), plan
            assert "INDEX field_" in str(plan), plan


def test_deep_filters_are_refused_not_a_crash(tmp_path: Path):
    with index_of(tmp_path / "index", [{"year": 1}, {"year": 2}]) as index:
        deep: dict = {"year": {"$not": {"$in": [2, None, True, "x"]}}}
        for _ in range(8):
            deep = {"$and": [{"$or": [{"year": 8}, deep]}, {"year": {"$ne": 5}}]}
        assert list(index.ids(filter=deep)) == ["0"]
        assert list(index.ids(filter={"$not": deep})) == ["1"]
        for _ in range(3000):
            deep = {"$not": deep}
        with pytest.raises(errors.InvalidFilter, match="nested more than 20 deep"):
            index.count(deep)


def test_large_filters_work(tmp_path: Path):
    with index_of(tmp_path / "index", [{"year": number} for number in range(50)]) as index:
        assert index.count({"year": {"$in": list(range(25, 15_000))}}) == 25
        assert index.count({"$or": [{"year": number} for number in range(40, 1_000)]}) == 10
        assert index.count({"$and": [{"year": {"$ne": number}} for number in range(40, 1_000)]}) == 40
        assert index.count({"year": np.int64(3)}) == index.count({"year": {"$in": np.arange(3, 4)}}) == 1


def test_a_filter_that_matches_nothing_finds_nothing(small):
    query = clustered(1)[0]
    assert small.search(query, 5, filter={"number": 99}) == []
    assert small.search(query, 5, filter={"number": {"$in": []}}) == []
    assert small.search(query, 5, filter={"number": 3}, ids=["4"]) == []
    assert small.search_all([query, query], 5, filter={"number": 99}) == [[], []]
    assert small.search_all([query], 5, filter={"number": {"$lt": 3}}, ids=["0", "7", "x"])[0][0].id == "0"
    assert len(small.search(query, 50, filter={})) == 20


def test_the_result_of_a_filter_is_kept_for_a_while(small):
    query = clustered(1)[0]
    filters = [{"number": {"$lt": limit}} for limit in range(1, 15)]
    for _ in range(2):
        assert [len(small.search(query, 50, filter=one)) for one in filters] == list(range(1, 15))
    with small._reading() as snapshot:
        assert len(snapshot._matching) == 8
    small.delete("0")
    assert [len(small.search(query, 50, filter=one)) for one in filters] == list(range(14))


def test_any_filter_on_an_empty_index_finds_nothing(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=2) as index:
        assert index.search([[1.0, 0.0]], filter={"year": 3}) == []
        assert index.delete(filter={"year": 3}) == 0


def test_exists_may_ask_for_any_field(small):
    assert small.count({"colour": {"$exists": True}}) == 0
    assert small.count({"colour": {"$exists": False}}) == 20
