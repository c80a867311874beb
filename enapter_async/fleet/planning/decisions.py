"""Decides what a plan does with each operation, given a target's state and all its operations."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.planning.effects import addressed, before_of, effect, plain
from enapter_async.fleet.planning.keys import key_of
from enapter_async.fleet.planning.snapshot import Found
from enapter_async.operation import Operation, field_of
from enapter_async.operations.nouns import noun_named, reading
from enapter_async.text import look_alike, shortened

NOT_READ: Final = (
    "its current state is unknown, because the operation does not define how to read it"
)


class Verdict(enum.StrEnum):
    """A plan's decision about an operation. A verdict equals its text."""

    CHANGE = "change"
    """It will be sent."""
    UNCHANGED = "unchanged"
    """The target already has these values; nothing will be sent."""
    ABSENT = "absent"
    """The object to delete is already gone; nothing will be sent."""
    MERGED = "merged"
    """An earlier operation of the plan is exactly the same."""
    REFUSED = "refused"
    """It cannot be done, and will not be tried; the plan contains the reason."""


@attrs.frozen(kw_only=True)
class PlanRequest:
    """One requested operation. `line` counts from 1 in the order of the input.

    `expected` contains values that the state must show now, or the operation is refused; None
    accepts any state. `lacks` is the reason why an object that it needs was not found, or "".
    """

    line: int
    operation: Operation[Any]
    expected: Mapping[str, Any] | None = None
    lacks: str = ""


@attrs.frozen(kw_only=True)
class Decision:
    """The plan's decision about one operation.

    `operation` addresses its target by id, or is None if it must not be written to a file. `before`
    contains the guarded fields as they will be when the operation is sent. `frees` and `takes` are
    the keys of the slugs that it gives up and needs, or None.
    """

    line: int
    operation: Operation[Any] | None
    verdict: Verdict
    why: str = ""
    before: Mapping[str, Any] | None = None
    frees: str | None = None
    takes: str | None = None


def judge(asked: Sequence[PlanRequest], found: Found, owner: Found) -> list[Decision]:
    """Decide about all operations on one target, in the order of the input.

    `found` is the result of looking up the target, and `owner` that of the object it is a part of,
    or the same. If the operations contradict each other, all of them are refused, because the
    intended one is unknown.
    """
    prepared = [_prepared(each.operation, owner.state) for each in asked]
    reason = found.problem or _contradiction(asked)
    if reason is not None:
        pairs = zip(asked, prepared, strict=True)
        return [
            _refused(each, operation, wrong or _part_obstacle(operation, owner.state) or reason)
            for each, (operation, wrong) in pairs
        ]
    state = found.state
    decisions: list[Decision] = []
    created = False
    first_lines: dict[Operation[Any], int] = {}
    for each, (operation, wrong) in zip(asked, prepared, strict=True):
        if operation is not None and operation in first_lines:
            why = f"the same as operation {first_lines[operation]}"
            decisions.append(_decided(each, operation, Verdict.MERGED, why))
            continue
        if operation is None:
            decision = _refused(each, None, wrong)
        else:
            first_lines[operation] = each.line
            decision = _checked(each, operation, state, owner.state)
        if created:
            # What its fields will be by then is not known, so nothing can be guarded.
            decision = attrs.evolve(decision, before=None)
        decisions.append(decision)
        if decision.verdict is Verdict.REFUSED:
            break
        if decision.verdict is Verdict.CHANGE and operation is not None:
            created = created or state is None
            state = effect(operation, state)
    for each, (operation, wrong) in list(zip(asked, prepared, strict=True))[len(decisions) :]:
        word = each.operation.target().word
        why = f"the earlier operation {decisions[-1].line} on the same {word} is refused"
        decisions.append(_refused(each, operation, wrong or why))
    return decisions


def _prepared(operation: Operation[Any], owner: Any) -> tuple[Operation[Any] | None, str]:
    """Return an operation addressed by id and completed from its object's state, or why not.

    If not, the operation itself must not be written to a file.
    """
    if owner is None:
        return operation, ""
    noun = noun_named(operation.target().noun)
    try:
        return addressed(operation, noun.facts(owner).id).prepared(owner), ""
    except ConfigurationError as error:
        return None, str(error)


def _part_obstacle(operation: Operation[Any] | None, owner: Any) -> str:
    """Return why an operation on a part of an object would be refused, by the object's state."""
    if operation is None or owner is None or not operation.target().part:
        return ""
    return operation.obstacle(owner)


def _checked(each: PlanRequest, operation: Operation[Any], state: Any, owner: Any) -> Decision:
    try:
        return _decide(each, operation, state, owner)
    except ConfigurationError as error:  # for example, a sensitive value is not where it should be
        return _refused(each, operation, str(error))


def _contradiction(asked: Sequence[PlanRequest]) -> str | None:
    """Return how the operations on one target contradict each other, or None."""
    values: dict[str, tuple[Any, int]] = {}
    deleted: int | None = None
    for each in asked:
        deletes = each.operation.holds(None)
        if deleted is not None and not deletes:
            word = each.operation.target().word
            return (
                f"operation {each.line} comes after operation {deleted}, which deletes the {word}"
            )
        if deletes and deleted is None:
            deleted = each.line
        for field, value in each.operation.claims().items():
            first, line = values.setdefault(field, (value, each.line))
            if first != value:
                return f"operations {line} and {each.line} set different values for its {field}"
    return None


def _decide(each: PlanRequest, operation: Operation[Any], state: Any, owner: Any) -> Decision:
    target = operation.target()
    if reason := _part_obstacle(operation, owner):
        return _refused(each, operation, reason)
    if state is None:
        missing = f"there is no such {target.word}"
        if target.part and owner is not None:
            missing = f"it has no {target.part}"
        return _decide_without_state(each, operation, missing)
    if target.id is None and not operation.holds(state):
        return _refused(each, operation, f"another {target.word} already has its key")
    reason = _unexpected(each, state) or operation.pointless()
    if not reason and operation.holds(state):
        # Decided before the role is checked: an operation that is not sent needs no role.
        return _decided(each, operation, Verdict.UNCHANGED, "it already has this state")
    reason = reason or ("" if target.part else operation.obstacle(state)) or each.lacks
    if reason:
        return _refused(each, operation, reason)
    now, slug = _slugs(operation, state)
    return Decision(
        line=each.line,
        operation=operation,
        verdict=Verdict.CHANGE,
        before=before_of(operation, state),
        frees=key_of(target.noun, now) if now and slug != now else None,
        takes=key_of(target.noun, slug) if slug and slug != now else None,
    )


def _slugs(operation: Operation[Any], state: Any) -> tuple[str | None, str | None]:
    """Return the slug of an object before and after an operation."""
    target = operation.target()
    if target.part:
        return None, None
    noun, after = noun_named(target.noun), effect(operation, state)
    return noun.facts(state).slug, None if after is None else noun.facts(after).slug


def _decide_without_state(each: PlanRequest, operation: Operation[Any], missing: str) -> Decision:
    """Decide about an operation whose target was not found, or could not be looked up."""
    target = operation.target()
    if target.id is not None and reading(operation) is not None:
        if operation.holds(None):
            return _decided(each, operation, Verdict.ABSENT, f"the {target.word} is already gone")
        why = f"{missing}, or this token may not see it"
        return _refused(each, operation, why)
    reason = operation.pointless() or each.lacks
    if reason:
        return _refused(each, operation, reason)
    why = "" if target.id is None else NOT_READ
    return _decided(each, operation, Verdict.CHANGE, why)


def _unexpected(each: PlanRequest, state: Any) -> str:
    for field, value in (each.expected or {}).items():
        now = field_of(state, field)
        if plain(now) != plain(value):
            return f"its {field} is {', no longer '.join(told_apart(now, value))}"
    return ""


def told(value: Any) -> str:
    """Format a state's value for a message."""
    if value is None or value == "":
        return "empty"
    return repr(shortened(value, 60)) if isinstance(value, str) else repr(value)


def told_apart(one: Any, other: Any) -> tuple[str, str]:
    """Format two different values for a message, in ASCII if they would otherwise look alike."""
    pair = told(one), told(other)
    return (ascii(one), ascii(other)) if look_alike(*pair) else pair


def _decided(
    each: PlanRequest, operation: Operation[Any] | None, verdict: Verdict, why: str
) -> Decision:
    return Decision(line=each.line, operation=operation, verdict=verdict, why=why)


def _refused(each: PlanRequest, operation: Operation[Any] | None, why: str) -> Decision:
    return _decided(each, operation, Verdict.REFUSED, why)
