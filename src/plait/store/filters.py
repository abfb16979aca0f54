"""Filters on metadata: a dictionary in the form the ecosystem shares, checked and taken apart.

docs/filters.md describes the form and what it means. Here it becomes a tree of ``Leaf`` and ``Group``, which
``conditions`` turns into SQL. Every error names the place in the filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from plait.errors import InvalidFilter

#: How deep filters may be nested, and how many tests and values they may hold: what SQLite takes.
MAX_DEPTH = 20
MAX_TESTS = 1_000
MAX_VALUES = 20_000

ORDERINGS = ("$gt", "$gte", "$lt", "$lte")
#: Operators that say that another one does not hold.
OPPOSITES = {"$ne": "$eq", "$nin": "$in"}
OPERATORS = ("$eq", "$ne", *ORDERINGS, "$in", "$nin", "$exists", "$contains", "$not")
CONNECTIVES = ("$and", "$or", "$not")
#: What the fields of ``Index.create(fields=...)`` may hold, and what each can be compared with.
COMPARABLE: dict[str, tuple[type, ...]] = {
    "int": (int, float),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (int, float, str, bool),
}

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """One test of one field.

    Attributes:
        keys: the field, and inside of it if it is nested.
        operator: "$eq", an ordering, "$in", "$exists" or "$contains".
        value: what it is compared with; a tuple for "$in".
        where: the place in the filter, for messages.
    """

    keys: tuple[str, ...]
    operator: str
    value: Any
    where: str


@dataclass(frozen=True, slots=True)
class Group:
    """All ("AND") or any ("OR") of several tests, or the opposite ("NOT") of one."""

    how: str
    parts: tuple[Node, ...]


Node: TypeAlias = Leaf | Group


def parse_filter(given: Mapping[str, Any]) -> Node:
    """Check a filter and take it apart.

    Raises:
        InvalidFilter: names the place and what is wrong with it.
    """
    if not isinstance(given, Mapping):
        raise InvalidFilter("filter", f'must be a dict such as {{"year": {{"$gte": 2020}}}}, not {given!r}')
    node = _filter(given, "filter", 0)
    counts = [len(leaf.value) if leaf.operator == "$in" else 1 for leaf in leaves(node)]
    if len(counts) > MAX_TESTS:
        raise InvalidFilter(
            "filter", f"holds more than {MAX_TESTS:,} tests; use $in for many values of a field"
        )
    if sum(counts) > MAX_VALUES:
        raise InvalidFilter("filter", f"holds more than {MAX_VALUES:,} values")
    return node


def leaves(node: Node) -> Iterator[Leaf]:
    """All tests in a filter."""
    if isinstance(node, Leaf):
        yield node
    else:
        for part in node.parts:
            yield from leaves(part)


def require_types(node: Node, fields: Mapping[str, str]) -> None:
    """Compare the values of a filter with the types that were declared.

    Raises:
        InvalidFilter: a value can't be compared with what the field holds.
    """
    for leaf in leaves(node):
        kind = fields.get(leaf.keys[0])
        if kind is not None:
            reason = _mismatch(leaf, kind)
            if reason:
                raise InvalidFilter(leaf.where, f"{leaf.keys[0]!r} is declared as {kind}{reason}")


def _mismatch(leaf: Leaf, kind: str) -> str | None:
    """Why a field of that type can't be tested like this; None if it can."""
    if len(leaf.keys) > 1:
        return ": it has no fields"
    if leaf.operator == "$exists":
        return None
    if leaf.operator in ORDERINGS and kind not in ("int", "float", "str"):
        return ", which has no order"
    if kind == "list" and leaf.operator != "$contains":
        return ": use $contains or $exists"
    if leaf.operator == "$contains" and kind not in ("str", "list"):
        return ", which contains nothing"
    for value in leaf.value if leaf.operator == "$in" else (leaf.value,):
        fits = isinstance(value, COMPARABLE[kind]) and (
            bool in COMPARABLE[kind] or not isinstance(value, bool)
        )
        if value is not None and not fits:
            return f" and can't be compared with {value!r}"
    return None


def _filter(given: Mapping[str, Any], where: str, depth: int) -> Node:
    """A dict of fields and connectives: all of them must hold."""
    _require_depth(where, depth)
    parts: list[Node] = []
    for key, value in given.items():
        here = f"{where}[{key!r}]"
        if not isinstance(key, str):
            raise InvalidFilter(here, f"the name of a field must be a string, not {key!r}")
        if key in CONNECTIVES:
            parts.append(_connective(key, value, here, depth + 1))
        else:
            parts.append(_field((_name(key, here, CONNECTIVES),), value, here, depth + 1))
    return _all(parts)


def _connective(key: str, value: Any, where: str, depth: int) -> Node:
    if key == "$not":
        if not isinstance(value, Mapping):
            raise InvalidFilter(where, f"must be a filter, a dict, not {value!r}")
        return Group("NOT", (_filter(value, where, depth),))
    if isinstance(value, str | Mapping) or not hasattr(value, "__len__") or not len(value):
        raise InvalidFilter(where, f"must be a list of at least one filter, not {value!r}")
    parts = []
    for place, one in enumerate(value):
        if not isinstance(one, Mapping):
            raise InvalidFilter(f"{where}[{place}]", f"must be a filter, a dict, not {one!r}")
        parts.append(_filter(one, f"{where}[{place}]", depth))
    return Group("AND" if key == "$and" else "OR", tuple(parts))


def _name(key: str, where: str, known: tuple[str, ...]) -> str:
    """The name of a field; one that begins with ``$`` is written with another one before it."""
    if key.startswith("$$"):
        return key[1:]
    if key.startswith("$"):
        raise InvalidFilter(
            where,
            f"has the unknown operator {key!r}; known are {' '.join(known)} "
            f"(a field of that name is written {'$' + key!r})",
        )
    return _string(key, where)


def _field(keys: tuple[str, ...], value: Any, where: str, depth: int) -> Node:
    """A bare value, a dict of operators, or a dict of fields inside this one."""
    _require_depth(where, depth)
    if not isinstance(value, Mapping):
        return Leaf(keys, "$eq", _scalar(value, where), where)
    if not value:
        raise InvalidFilter(where, "is an empty dict: neither a value nor an operator")
    parts: list[Node] = []
    for key, operand in value.items():
        here = f"{where}[{key!r}]"
        if not isinstance(key, str):
            raise InvalidFilter(here, f"the name of a field or operator must be a string, not {key!r}")
        if key in OPERATORS:
            parts.append(_test(keys, key, operand, here, depth + 1))
        else:
            parts.append(_field((*keys, _name(key, here, OPERATORS)), operand, here, depth + 1))
    return _all(parts)


def _test(keys: tuple[str, ...], operator: str, value: Any, where: str, depth: int) -> Node:
    if operator == "$not":
        if not isinstance(value, Mapping):
            raise InvalidFilter(where, f'must be a dict of operators such as {{"$gte": 2020}}, not {value!r}')
        return Group("NOT", (_field(keys, value, where, depth),))
    if operator in OPPOSITES:
        return Group("NOT", (_test(keys, OPPOSITES[operator], value, where, depth),))
    if operator == "$exists":
        if not isinstance(value, bool | np.bool_):
            raise InvalidFilter(where, f"must be True or False, not {value!r}")
        leaf = Leaf(keys, "$exists", True, where)
        return leaf if value else Group("NOT", (leaf,))
    if operator == "$in":
        return Leaf(keys, operator, _scalars(value, where), where)
    value = _scalar(value, where)
    if operator in ORDERINGS and (value is None or isinstance(value, bool)):
        raise InvalidFilter(where, f"must be a number or a string, which have an order, not {value!r}")
    if operator == "$contains" and value is None:
        raise InvalidFilter(where, "must be a string, a number, True or False, not None")
    return Leaf(keys, operator, value, where)


def _all(parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Group("AND", tuple(parts))


def _scalars(value: Any, where: str) -> tuple[Scalar, ...]:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise InvalidFilter(where, f"must be a list of values, not {value!r}")
    return tuple(_scalar(one, f"{where}[{place}]") for place, one in enumerate(value))


def _scalar(value: Any, where: str) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _string(value, where)
    if isinstance(value, int):
        return _whole(value, where)
    if not isinstance(value, float):
        raise InvalidFilter(where, f"must be a string, a number, True, False or None, not {value!r}")
    if not math.isfinite(value):
        raise InvalidFilter(
            where, f"must be finite, not {value!r}: JSON, which metadata is, has no such number"
        )
    return value


def _whole(value: int, where: str) -> int | float:
    """Beyond 64 bits SQLite reads whole numbers as floating-point ones: both sides are compared as such."""
    if -(1 << 63) <= value < 1 << 63:
        return value
    try:
        return float(value)
    except OverflowError:
        raise InvalidFilter(where, "is too large a number") from None


def _string(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter(where, f"is not valid Unicode: {error}") from None
    return value


def _require_depth(where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"{where[:60]}...", f"is nested more than {MAX_DEPTH} deep")
