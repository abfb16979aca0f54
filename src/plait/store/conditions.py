"""Filters as SQL over the documents' JSON metadata. Names and values of a filter are only ever parameters."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plait.store.filters import Leaf, Node, Scalar, leaves

#: Keys that SQLite's JSON paths can't name.
UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
#: Texts in which older versions of SQLite stop at a NUL; Python looks at such documents.
HAS_NUL = "instr(metadata, '\\u0000')"
CHAIN = 100
COMPARISONS = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL that is true, false or NULL (which is false) for a row of ``document``."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def opposite(self) -> Condition:
        """True where this one is not."""
        return Condition(f"NOT ifnull({self.sql}, 0)", self.parameters)


NEVER, ALWAYS = Condition("0"), Condition("1")


def register(connection: sqlite3.Connection) -> None:
    """Let a connection call what SQL can't say."""
    connection.create_function("plait_match", 2, _match, deterministic=True)


def condition_of(node: Node, fields: Mapping[str, str], opposite: bool = False) -> Condition:
    """The filter as SQL.

    Args:
        node: the filter.
        fields: declared fields and their types; tests of them use their indexes.
        opposite: where it does not hold. Negations are moved down to the tests, because SQLite's parser does
            not take many of them inside each other.
    """
    if isinstance(node, Leaf):
        found = _declared(node, fields[node.keys[0]]) if node.keys[0] in fields else _free(node)
        return found.opposite() if opposite else found
    if node.how == "NOT":
        return condition_of(node.parts[0], fields, not opposite)
    parts = [condition_of(part, fields, opposite) for part in node.parts]
    return _join(parts, "OR" if (node.how == "OR") != opposite else "AND")


def undeclared(node: Node, fields: Mapping[str, str]) -> list[tuple[Leaf, Condition]]:
    """Tests of fields that were not declared, and what is true where there is such a field. A test whether a
    field exists may ask for any.
    """
    asked = {
        leaf.keys: leaf for leaf in leaves(node) if leaf.operator != "$exists" and leaf.keys[0] not in fields
    }
    return [(leaf, _free(Leaf(keys, "$present", True, leaf.where))) for keys, leaf in asked.items()]


def index_expression(name: str) -> str:
    """What the index of a declared field is made of; SQLite uses it for conditions on the same expression."""
    return f"json_extract(metadata, {_quoted(_path((name,)))})"


def nameable(name: str) -> bool:
    """Whether SQL can name the field in an index."""
    return bool(name) and not UNNAMEABLE.search(name)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _path(keys: tuple[str, ...]) -> str:
    return "$" + "".join(f'."{key}"' for key in keys)


def _join(parts: list[Condition], how: str) -> Condition:
    """All or any of the parts. SQLite allows a depth of 1,000, and a chain is as deep as it is long."""
    if not parts:
        return ALWAYS if how == "AND" else NEVER
    while len(parts) > 1:
        chains = [parts[start : start + CHAIN] for start in range(0, len(parts), CHAIN)]
        parts = [
            Condition(f"({f' {how} '.join(part.sql for part in chain)})", _parameters(chain))
            for chain in chains
        ]
    return parts[0]


def _parameters(parts: list[Condition]) -> tuple[Any, ...]:
    return tuple(value for part in parts for value in part.parameters)


# Declared fields ---------------------------------------------------------------------------------


def _declared(leaf: Leaf, kind: str) -> Condition:
    """A field of one type: a test of the indexed expression."""
    value = index_expression(leaf.keys[0])
    if leaf.operator == "$exists":
        return Condition(f"{value} IS NOT NULL")
    if leaf.operator == "$contains":
        if kind == "str":
            return Condition(f"instr({value}, ?) > 0", (leaf.value,))
        return _element(leaf)
    if leaf.operator != "$in":
        return _compared(value, COMPARISONS[leaf.operator], leaf.value)
    given = tuple(one for one in leaf.value if one is not None)
    parts = [Condition(f"{value} IN ({_marks(given)})", given)] if given else []
    if None in leaf.value:
        parts.append(Condition(f"{value} IS NULL"))
    return _join(parts, "OR")


def _compared(value: str, comparison: str, other: Scalar) -> Condition:
    if other is None:
        return Condition(f"{value} IS NULL")
    return Condition(f"{value} {comparison} ?", (other,))


# Other fields ------------------------------------------------------------------------------------


def _free(leaf: Leaf) -> Condition:
    """A field that may hold anything, in each document something else."""
    by_python = Condition("plait_match(metadata, ?)", (json.dumps([leaf.keys, leaf.operator, leaf.value]),))
    if any(UNNAMEABLE.search(key) for key in leaf.keys):
        return by_python
    path = _path(leaf.keys)
    if leaf.operator == "$present":
        return Condition("json_type(metadata, ?) IS NOT NULL", (path,))
    if leaf.operator == "$exists":
        return Condition("json_type(metadata, ?) <> 'null'", (path,))
    if leaf.operator == "$contains":
        found = _contains(leaf, path)
    elif leaf.operator == "$in":
        found = _join([part for kind in _by_kind(leaf.value) for part in _among(path, kind)], "OR")
    elif leaf.value is None or isinstance(leaf.value, bool):
        return _literal(path, leaf.value)
    else:
        comparison = COMPARISONS[leaf.operator]
        found = _typed(path, leaf.value, f"json_extract(metadata, ?) {comparison} ?", (path, leaf.value))
    return _unless_nul(by_python, found)


def _unless_nul(by_python: Condition, by_sql: Condition) -> Condition:
    return Condition(
        f"CASE WHEN {HAS_NUL} THEN {by_python.sql} ELSE {by_sql.sql} END",
        (*by_python.parameters, *by_sql.parameters),
    )


def _typed(path: str, value: Scalar, sql: str, parameters: tuple[Any, ...]) -> Condition:
    """A comparison, where the field is of the type of the value."""
    kinds = "'text'" if isinstance(value, str) else "'integer', 'real'"
    return Condition(f"(json_type(metadata, ?) IN ({kinds}) AND {sql})", (path, *parameters))


def _literal(path: str, value: bool | None) -> Condition:
    if value is None:
        return Condition("ifnull(json_type(metadata, ?), 'null') = 'null'", (path,))
    return Condition(f"json_type(metadata, ?) = '{str(value).lower()}'", (path,))


def _by_kind(values: tuple[Scalar, ...]) -> list[list[Scalar]]:
    """Strings, numbers, and each of the rest alone."""
    strings: list[Scalar] = [value for value in values if isinstance(value, str)]
    numbers: list[Scalar] = [
        value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    literals: list[list[Scalar]] = [[value] for value in values if value is None or isinstance(value, bool)]
    return [kind for kind in (strings, numbers, *literals) if kind]


def _among(path: str, values: list[Scalar]) -> list[Condition]:
    first = values[0]
    if first is None or isinstance(first, bool):
        return [_literal(path, first)]
    sql = f"json_extract(metadata, ?) IN ({_marks(values)})"
    return [_typed(path, first, sql, (path, *values))]


def _contains(leaf: Leaf, path: str) -> Condition:
    parts = [_element(leaf)]
    if isinstance(leaf.value, str):
        parts.append(_typed(path, leaf.value, "instr(json_extract(metadata, ?), ?) > 0", (path, leaf.value)))
    return _join(parts, "OR")


def _element(leaf: Leaf) -> Condition:
    """Whether a list holds the value."""
    path, value = _path(leaf.keys), leaf.value
    kinds = "'text'" if isinstance(value, str) else "'integer', 'real'"
    same, given = f"type IN ({kinds}) AND value = ?", [value]
    if isinstance(value, bool):
        same, given = f"type = '{str(value).lower()}'", []
    return Condition(
        f"(json_type(metadata, ?) = 'array' AND EXISTS "
        f"(SELECT 1 FROM json_each(document.metadata, ?) WHERE {same}))",
        (path, path, *given),
    )


def _marks(values: Any) -> str:
    return ",".join("?" * len(values))


# In Python, where SQL can't -----------------------------------------------------------------------

_MISSING = object()
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda a, b: a == b,
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}


def _match(metadata: str | None, test: str) -> bool:
    """One test of one document."""
    keys, operator, value = json.loads(test)
    found: Any = json.loads(metadata) if metadata else {}
    for key in keys:
        found = found.get(key, _MISSING) if isinstance(found, dict) else _MISSING
    if operator == "$present":
        return found is not _MISSING
    if found is _MISSING:
        found = None
    if operator == "$exists":
        return found is not None
    if operator == "$in":
        return any(_same(found, one) for one in value)
    if operator == "$contains":
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list) and any(_same(one, value) for one in found)
    return _kind(found) == _kind(value) and _ORDER[operator](_as_sqlite(found), value)


def _same(one: Any, other: Scalar) -> bool:
    return _kind(one) == _kind(other) and bool(_as_sqlite(one) == other)


def _as_sqlite(value: Any) -> Any:
    """Whole numbers beyond 64 bits are floating-point ones to SQLite."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return float(value) if abs(value) < 1 << 1023 else math.copysign(math.inf, value)
    return value


def _kind(value: Any) -> type:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return type(value)
