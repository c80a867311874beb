"""The rules for the arguments of operations on rules, and the comparison of scripts."""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.rules import Rule, RuleRuntimeVersion, RuleScript
from enapter_async.operations import arguments

LONGEST_SCRIPT: Final = 1024 * 1024
"""The maximum length of a script, in characters."""
_FIELDS: Final = ("text", "runtime_version", "exec_interval")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)"


def rule_id(value: str) -> str:
    """Return the id or slug of a rule."""
    return arguments.address("rule_id", value)


def slug(value: str) -> str:
    """Return a new slug of a rule; it becomes part of an address, so it must be valid as one."""
    return arguments.address("slug", value)


def script(value: RuleScript | Mapping[str, Any] | str) -> RuleScript:
    """Return a script from its text (for V3), a `RuleScript`, or a JSON object with `text`."""
    if isinstance(value, str):
        value = RuleScript(code=value)
    elif isinstance(value, Mapping):
        if "text" not in value or not value.keys() <= set(_FIELDS):
            raise ArgumentError(
                f"script must be a string, or an object with {', '.join(_FIELDS)}, of which text "
                "is required"
            )
        given = {name: each for name, each in value.items() if name != "text"}
        runtime = given.pop("runtime_version", None)
        if runtime is not None:
            given["runtime_version"] = RuleRuntimeVersion(runtime)
        value = RuleScript(code=value["text"], **given)
    if not isinstance(value, RuleScript):
        raise ArgumentError(
            f"script must be a string, a RuleScript or an object; got {arguments.shown(value)}"
        )
    _check_code(value.code)
    version = value.runtime_version or RuleRuntimeVersion.V3
    interval: Any = value.exec_interval
    if interval is not None:
        if not isinstance(interval, str) or seconds(interval) is None:
            got = arguments.shown(interval)
            raise ArgumentError(f"exec_interval must be a duration such as 30s or 1m; got {got}")
        if version == RuleRuntimeVersion.V3 and seconds(interval):
            raise ArgumentError("exec_interval is for V1 scripts only; a V3 script has none")
    return attrs.evolve(value, runtime_version=version)


def _check_code(code: object) -> None:
    if not isinstance(code, str) or len(code) > LONGEST_SCRIPT:
        raise ArgumentError(f"a script must be text of at most {LONGEST_SCRIPT} characters")
    if re.search(r"[\ud800-\udfff]", code):
        raise ArgumentError("a script must be valid Unicode; it contains a lone surrogate")


def sent(wanted: RuleScript) -> dict[str, Any]:
    """Return a script as requests carry it."""
    body: dict[str, Any] = {
        "code": wanted.encoded,
        "runtime_version": str(wanted.runtime_version),
    }
    if wanted.exec_interval is not None:
        body["exec_interval"] = wanted.exec_interval
    return body


def script_differs(wanted: RuleScript, found: RuleScript | None) -> str:
    """Return which part of a script differs, without showing its code; "" if none does."""
    if found is None:
        return "it shows no script"
    if found.code != wanted.code:
        return "the code of its script is not the requested one"
    if found.runtime_version not in (None, wanted.runtime_version):
        return (
            f"runtime_version is {found.runtime_version}, but {wanted.runtime_version} was "
            "requested"
        )
    told, asked = seconds(found.exec_interval or "0s"), seconds(wanted.exec_interval or "0s")
    if wanted.exec_interval is not None and told != asked:
        return f"exec_interval is {found.exec_interval}, but {wanted.exec_interval} was requested"
    return ""


def seconds(duration: str) -> float | None:
    """Return the seconds of a duration such as "1m30s"; None if it is not one."""
    if not re.fullmatch(f"({_PART})+", duration):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, duration))


def is_about(asked: str, rule: Rule, *, new_slug: bool = False) -> bool:
    """Return whether an answer is about the requested rule, by its id or its slug.

    With `new_slug` the request sets the slug, so any slug is accepted.
    """
    if rule.id == asked:
        return True
    if arguments.is_uuid(asked):
        return not arguments.is_uuid(rule.id) or rule.id.lower() == asked.lower()
    return new_slug or not rule.slug or rule.slug == asked
