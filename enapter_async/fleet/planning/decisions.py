"""Decides what a plan does with each operation, given a target's state and all its operations."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.fleet.planning.effects import addressed, before_of, effect, plain
from enapter_async.fleet.planning.snapshot import Found, key_of
from enapter_async.operation import Operation
from enapter_async.operations.arguments import shown
from enapter_async.operations.nouns import noun_named, reading

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
    accepts any state.
    """

    line: int
    operation: Operation[Any]
    expected: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Decision:
    """The plan's decision about one operation.

    `operation` addresses its target by id. `before` contains the guarded fields as they will be
    when the operation is sent. `frees` and `takes` are the keys of the slugs that it gives up and
    needs, or None.
    """

    line: int
    operation: Operation[Any]
    verdict: Verdict
    why: str = ""
    before: Mapping[str, Any] | None = None
    frees: str | None = None
    takes: str | None = None


def judge(asked: Sequence[PlanRequest], found: Found) -> list[Decision]:
    """Decide about all operations on one target, in the order of the input.

    `found` is the result of looking up the target. If the operations contradict each other, all of
    them are refused, because the intended one is unknown.
    """
    reason = found.problem or _contradiction(asked)
    if reason is not None:
        return [_refused(each, each.operation, reason) for each in asked]
    state = found.state
    decisions: list[Decision] = []
    first_lines: dict[Operation[Any], int] = {}
    for each in asked:
        operation = each.operation
        noun = noun_named(operation.target().noun)
        if state is not None:
            operation = addressed(operation, noun.facts(state).id)
        if operation in first_lines:
            why = f"the same as operation {first_lines[operation]}"
            decisions.append(_decided(each, operation, Verdict.MERGED, why))
            continue
        first_lines[operation] = each.line
        decision = _decide(each, operation, state)
        decisions.append(decision)
        if decision.verdict is Verdict.REFUSED:
            break
        if decision.verdict is Verdict.CHANGE:
            state = effect(operation, state)
    for each in asked[len(decisions) :]:
        word = each.operation.target().word
        why = f"the earlier operation {decisions[-1].line} on the same {word} is refused"
        decisions.append(_refused(each, each.operation, why))
    return decisions


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


def _decide(each: PlanRequest, operation: Operation[Any], state: Any) -> Decision:
    target = operation.target()
    if state is None:
        return _decide_without_state(each, operation)
    if target.id is None and not operation.holds(state):
        return _refused(each, operation, f"another {target.word} already has its key")
    reason = _unexpected(each, state) or operation.pointless()
    if not reason and operation.holds(state):
        # Decided before the role is checked: an operation that is not sent needs no role.
        return _decided(each, operation, Verdict.UNCHANGED, "it already has this state")
    reason = reason or operation.obstacle(state)
    if reason:
        return _refused(each, operation, reason)
    noun = noun_named(target.noun)
    now, after = noun.facts(state).slug, effect(operation, state)
    slug = None if after is None else noun.facts(after).slug
    return Decision(
        line=each.line,
        operation=operation,
        verdict=Verdict.CHANGE,
        before=before_of(operation, state),
        frees=key_of(target.noun, now) if now and slug != now else None,
        takes=key_of(target.noun, slug) if slug and slug != now else None,
    )


def _decide_without_state(each: PlanRequest, operation: Operation[Any]) -> Decision:
    """Decide about an operation whose target was not found, or could not be looked up."""
    target = operation.target()
    if target.id is not None and reading(operation) is not None:
        if operation.holds(None):
            return _decided(each, operation, Verdict.ABSENT, f"the {target.word} is already gone")
        why = f"there is no such {target.word}, or this token may not see it"
        return _refused(each, operation, why)
    reason = operation.pointless()
    if reason:
        return _refused(each, operation, reason)
    why = "" if target.id is None else NOT_READ
    return _decided(each, operation, Verdict.CHANGE, why)


def _unexpected(each: PlanRequest, state: Any) -> str:
    for field, value in (each.expected or {}).items():
        now = getattr(state, field, None)
        if plain(now) != plain(value):
            return f"its {field} is {told(now)}, no longer {told(value)}"
    return ""


def told(value: Any) -> str:
    """Format a state's value for a message."""
    if value is None or value == "":
        return "empty"
    return shown(value) if isinstance(value, str) else repr(value)


def _decided(each: PlanRequest, operation: Operation[Any], verdict: Verdict, why: str) -> Decision:
    return Decision(line=each.line, operation=operation, verdict=verdict, why=why)


def _refused(each: PlanRequest, operation: Operation[Any], why: str) -> Decision:
    return _decided(each, operation, Verdict.REFUSED, why)
