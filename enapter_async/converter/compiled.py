"""Readers of JSON objects, and makers, written out and compiled once for each class.

A page of fifty devices has about four hundred fields, and a call for each of them is what
reading costs most. So a string is looked at where it stands, a known member of an
enumeration is found where it stands, and whatever is neither goes to the rule for its type,
which alone decides. `test_compiled` holds these readers against cattrs' own.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs

from enapter_async.converter.leaves import mismatch
from enapter_async.models.enumerations import OpenEnum

Rule = Callable[[Any, Any], Any]
T = TypeVar("T", bound=attrs.AttrsInstance)


def compile_maker(kind: type[T]) -> Callable[..., T]:
    """Return a function that makes an instance of a frozen, slotted attrs class, given all fields.

    They are taken by position and set past `__init__`, which would take three times as long; so
    the class may have neither converters nor validators.
    """
    known = _setters(kind)
    names = [field.name for field in attrs.fields(kind)]
    lines = [f"def make({', '.join(names)}):", "    self = new(kind)"]
    lines += [f"    set_{name}(self, {name})" for name in names]
    lines.append("    return self")
    make: Callable[..., T] = _compiled("make", lines, known)
    return make


def compile_reader(
    kind: type[attrs.AttrsInstance], rules: Mapping[str, Rule], old_names: Mapping[str, str]
) -> Rule:
    """Return a rule that makes an instance of a frozen, slotted attrs class.

    `rules` has for each field the rule that reads it; `old_names` what some servers call a
    field, which counts where the field itself is missing or null. A field that is missing has its
    default; one that has none raises `KeyError`. The class may have neither converters nor
    validators, for the values are set past its `__init__`, which would cost as much again.
    """
    known = _setters(kind)
    known |= {"mismatch": mismatch, "fromisoformat": datetime.fromisoformat}
    lines = [
        "def read(data, _):",
        "    if data.__class__ is not dict and not isinstance(data, dict):",
        "        raise mismatch('an object', data)",
        "    self = new(kind)",
    ]
    for field in attrs.fields(kind):
        name = field.name
        known[f"rule_{name}"] = rules[name]
        known[f"type_{name}"] = field.type
        known[f"default_{name}"] = field.default
        old_name = old_names.get(name)
        lines += [f"    {line}" for line in _lines_of(name, field, known, old_name)]
        lines.append(f"    set_{name}(self, value)")
    lines.append("    return self")
    read: Rule = _compiled("read", lines, known)
    return read


def _setters(kind: type[attrs.AttrsInstance]) -> dict[str, Any]:
    """Return the names by which a compiled function makes an instance and sets its fields."""
    if hasattr(kind, "__attrs_post_init__"):
        raise TypeError(f"{kind.__name__} has an __attrs_post_init__")
    known: dict[str, Any] = {"new": object.__new__, "kind": kind}
    for field in attrs.fields(kind):
        if field.converter is not None or field.validator is not None:
            raise TypeError(f"{kind.__name__}.{field.name} has a converter or a validator")
        known[f"set_{field.name}"] = getattr(kind, field.name).__set__
    return known


def _compiled(name: str, lines: list[str], known: dict[str, Any]) -> Any:
    source = compile("\n".join(lines), f"<{name} {known['kind'].__name__}>", "exec")
    exec(source, known)  # noqa: S102 - the source is made of a class's own field names
    return known[name]


def _lines_of(
    name: str, field: "attrs.Attribute[Any]", known: dict[str, Any], old_name: str | None
) -> list[str]:
    """Write how one field comes to stand in `value`."""
    rule = f"rule_{name}({{}}, type_{name})"
    by_rule = rule.format("value")
    if field.default is attrs.NOTHING:
        first = f"value = data[{name!r}]"
        if field.type is str:
            return [first, f"if value.__class__ is not str: value = {by_rule}"]
        return [first, f"value = {by_rule}"]
    if old_name is not None and field.default is not None:
        raise TypeError(f"{name} has an old name, and a default that is not None")
    inner = _optional(field.type)
    if inner is None or field.default is not None:
        found = rule.format(f"data[{name!r}]")
        return [f"value = {found} if {name!r} in data else default_{name}"]
    lines = [f"value = data[{name!r}] if {name!r} in data else None"]
    if old_name is not None:
        lines.append(f"if value is None: value = data.get({old_name!r})")
    if inner is str:
        lines.append(f"if value is not None and value.__class__ is not str: value = {by_rule}")
    elif isinstance(inner, type) and issubclass(inner, OpenEnum):
        known[f"member_{name}"] = {str(member): member for member in inner.known()}.get
        lines.append(f"if value is not None: value = member_{name}(value) or {by_rule}")
    elif inner is datetime:
        lines += [
            "if value.__class__ is str and len(value) == 20 and value[4::3] == '--T::Z':",
            "    value = fromisoformat(value)",
            f"elif value is not None: value = {by_rule}",
        ]
    else:
        lines.append(f"if value is not None: value = {by_rule}")
    return lines


def _optional(kind: Any) -> Any:
    """Return X of `X | None`, else None."""
    if get_origin(kind) not in (UnionType, Union):
        return None
    members = [member for member in get_args(kind) if member is not NoneType]
    return members[0] if len(members) == 1 else None
