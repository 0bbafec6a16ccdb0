"""Checks parsed TOML against the settings' types and finds everything that does not fit, not only the first.

msgspec's own conversion stops at its first complaint; this walks the struct types of core/settings and converts leaf
by leaf, so that each finding has its own path and a remedy made from the type. It refuses to know what the keys mean.
"""

from __future__ import annotations

import math
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect

from dispatcher.ops.findings import Report, did_you_mean
from dispatcher.ops.toml_lines import Path


def check(report: Report, cls: type[msgspec.Struct]) -> None:
    """Adds a finding for each unknown key, missing key, wrong type and value out of bounds."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - the caller gives a Struct
    _struct(report, (), report.data, info)


def _struct(report: Report, path: Path, table: dict[str, Any], info: inspect.StructType) -> None:
    hints = get_type_hints(info.cls, include_extras=True)
    fields = {field.encode_name: field for field in info.fields}
    for key, value in table.items():
        if key not in fields:
            absent = sorted(name for name in fields if name not in table)
            remedy = did_you_mean(key, absent) if absent else "remove it"
            report.add((*path, key), "unknown key", remedy, value=_scalar(value))
    for name, field in fields.items():
        if name in table:
            _value(report, (*path, name), table[name], field.type, hints[field.name])
        elif field.required:
            report.add((*path, name), "is missing", f"add {name} = ... ({wanted(field.type)})")


def _value(report: Report, path: Path, value: Any, info: inspect.Type, hint: Any) -> None:
    bare = _unwrap(info)
    if isinstance(bare, inspect.StructType):
        if isinstance(value, dict):
            _struct(report, path, value, bare)
        else:
            report.add(path, "must be a table", f"write [{path[-1]}] on a line of its own", value=value)
        return
    element = _unwrap(bare.item_type) if isinstance(bare, inspect.VarTupleType) else None
    if isinstance(bare, inspect.VarTupleType) and isinstance(element, inspect.StructType):
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            header = ".".join(part for part in path if isinstance(part, str))
            report.add(path, "must be an array of tables", f"write [[{header}]] in front of each", value=_scalar(value))
            return
        if not value and bare.min_length:
            report.add(path, "must not be empty", "add one, or remove the key", value=value)
        for index, item in enumerate(value):
            _struct(report, (*path, index), item, element)
        return
    if isinstance(bare, inspect.DictType) and isinstance(value, dict):
        for key, item in value.items():
            _leaf(report, (*path, key), item, bare.value_type, lambda v, key=key: msgspec.convert({key: v}, hint))
        return
    _leaf(report, path, value, info, lambda v: msgspec.convert(v, hint))


def _leaf(report: Report, path: Path, value: Any, info: inspect.Type, convert: Any) -> None:
    try:
        convert(value)
    except msgspec.ValidationError:
        problem = "is not allowed" if _right_kind(value, _unwrap(info)) else f"is {_kind(value)}"
        bare = _unwrap(info)
        if isinstance(bare, inspect.LiteralType) and isinstance(value, str):
            choices = [str(choice) for choice in bare.values]
            report.add(path, problem, f"{did_you_mean(value, choices)} (allowed: {', '.join(choices)})", value=value)
        else:
            report.add(path, problem, f"write {wanted(info)}", value=value)
    else:
        if not _is_finite(value):
            report.add(path, "is not finite", f"write {wanted(info)}", value=value)


def wanted(info: inspect.Type) -> str:
    """What a value of this type looks like, in words: `a whole number from 1 to 65535`."""
    bare = _unwrap(info)
    match bare:
        case inspect.IntType():
            return "a whole number" + _bounds(bare)
        case inspect.FloatType():
            return "a number" + _bounds(bare)
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType() if len(bare.values) == 1:
            return f'"{bare.values[0]}"'
        case inspect.LiteralType():
            return "one of " + ", ".join(f'"{value}"' for value in bare.values)
        case inspect.StrType():
            return "a text in quotes" + _text_bounds(bare, info)
        case inspect.UnionType():
            return " or ".join(wanted(kind) for kind in bare.types if not isinstance(kind, inspect.NoneType))
        case inspect.VarTupleType():
            return f"a list of values, each {wanted(bare.item_type)}"
        case inspect.TupleType():
            return f"a list of {len(bare.item_types)} values: {', '.join(wanted(kind) for kind in bare.item_types)}"
        case inspect.DictType():
            return "a table"
        case inspect.StructType():
            return "a table"
    return "another value"


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge:.15g} to {info.le:.15g}"
    parts = [
        f"{word} {bound:.15g}"
        for word, bound in (("above", info.gt), ("at least", info.ge), ("below", info.lt), ("at most", info.le))
        if bound is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def _text_bounds(info: inspect.StrType, outer: inspect.Type) -> str:
    if info.pattern is not None:
        words = description(outer)
        return f" of the form {words or info.pattern}"
    if info.max_length is not None:
        return f" of {info.min_length or 0} to {info.max_length} characters"
    return " that is not empty" if info.min_length else ""


def description(info: inspect.Type) -> str:
    """The words of the type's Meta, "" when it has none."""
    if isinstance(info, inspect.Metadata):
        return str((info.extra_json_schema or {}).get("description", ""))
    return ""


def _unwrap(info: inspect.Type) -> inspect.Type:
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _right_kind(value: Any, info: inspect.Type) -> bool:
    """True when only the value is wrong, not its type."""
    kinds: dict[type, tuple[type, ...]] = {
        inspect.IntType: (int,),
        inspect.FloatType: (int, float),
        inspect.BoolType: (bool,),
        inspect.StrType: (str,),
        inspect.LiteralType: (str,),
        inspect.VarTupleType: (list,),
        inspect.TupleType: (list,),
        inspect.DictType: (dict,),
    }
    if isinstance(info, inspect.UnionType):
        return any(_right_kind(value, kind) for kind in info.types)
    wanted_kinds = kinds.get(type(info), ())
    return isinstance(value, wanted_kinds) and (bool in wanted_kinds or not isinstance(value, bool))


def _is_finite(value: Any) -> bool:
    """TOML has inf and nan, which a type with one bound or none takes for numbers; no setting means anything by them."""
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")


def _scalar(value: Any) -> Any:
    return None if isinstance(value, (dict, list)) else value
