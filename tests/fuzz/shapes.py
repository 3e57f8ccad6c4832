"""Hypothesis strategies from msgspec types: JSON that fits a type, and JSON in which something, somewhere, does not."""

from __future__ import annotations

import json
from functools import cache
from types import ModuleType
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

LONG = 12
"""Entries of a list, characters of a text: enough for all that a reader tells apart."""

TEXTS = st.one_of(st.text(max_size=LONG), st.sampled_from(["", "root", "item_1", "auto", "none", "AAAA", "data:image/png;base64,AAAA"]))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
WRONG_CHANCE = 40
"""One value in so many is of another type."""


def frames(union: Any) -> st.SearchStrategy[bytes]:
    """Client events as JSON in UTF-8."""
    return fitting(inspect.type_info(union)).map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def fitting(shape: inspect.Type) -> st.SearchStrategy[Any]:
    """What fits a type, mostly."""
    return st.integers(0, WRONG_CHANCE).flatmap(lambda dice: ANYTHING if dice == WRONG_CHANCE else _of(shape))


def _later(shape: inspect.Type) -> st.SearchStrategy[Any]:
    """A type may hold itself."""
    return st.deferred(lambda: fitting(shape))


def _of(shape: inspect.Type) -> st.SearchStrategy[Any]:
    match shape:
        case inspect.StructType():
            return _struct(shape.cls)
        case inspect.UnionType(types=types):
            return st.deferred(lambda: st.one_of([fitting(each) for each in types if not isinstance(each, inspect.CustomType)]))
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner) | inspect.SetType(item_type=inner):
            return st.lists(_later(inner), max_size=3)
        case inspect.FrozenSetType(item_type=inner):
            return st.lists(_later(inner), max_size=3)
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.DictType(value_type=inner):
            return st.dictionaries(TEXTS, _later(inner), max_size=3)
        case inspect.LiteralType(values=values):
            return st.sampled_from(list(values))
        case inspect.IntType() | inspect.FloatType():
            return _number(shape)
        case _:
            return PLAIN.get(type(shape), ANYTHING)


def _number(shape: inspect.IntType | inspect.FloatType) -> st.SearchStrategy[Any]:
    """Within the bounds and at them, and beyond."""
    bounds = [bound for bound in (shape.ge, shape.gt, shape.le, shape.lt) if bound is not None]
    near = [bound + step for bound in bounds for step in (-1, 0, 1)]
    numbers = st.floats(allow_nan=False, allow_infinity=False) if isinstance(shape, inspect.FloatType) else st.integers(-5, 100_000)
    return numbers | st.sampled_from(near) if near else numbers


PLAIN: dict[type, st.SearchStrategy[Any]] = {
    inspect.NoneType: st.none(),
    inspect.BoolType: st.booleans(),
    inspect.StrType: TEXTS,
    inspect.BytesType: st.sampled_from(["", "AAAA", "AAAAAAAA", "AAA", "?", "UklGRgAAAABXQVZF"]),
}


@cache
def _struct(cls: type) -> st.SearchStrategy[Any]:
    """An object with its tag, all that it needs, and some of the rest."""
    shape = inspect.type_info(cls)
    assert isinstance(shape, inspect.StructType)
    needed: dict[str, st.SearchStrategy[Any]] = {}
    rest: dict[str, st.SearchStrategy[Any]] = {}
    for field in shape.fields:
        (needed if field.required else rest)[field.encode_name] = _later(field.type)
    if shape.tag_field is not None:
        needed[shape.tag_field] = st.just(shape.tag)
    return st.fixed_dictionaries(needed, optional=rest)


def words(*modules: ModuleType) -> list[str]:
    """Tags and names of fields of all structs in the modules, and of those inside them."""
    found: set[str] = set()
    structs = [each for module in modules for each in vars(module).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    for struct in structs:
        tag = struct.__struct_config__.tag
        found |= {*struct.__struct_encode_fields__, *([tag] if isinstance(tag, str) else [])}
    return sorted(found)
