"""What a plan says of each operation, judged by one thing and all that is asked of it."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from enapter_async.fleet.planning.effects import addressed, before_of, effect, plain
from enapter_async.fleet.planning.snapshot import Found, key_of
from enapter_async.operation import Operation
from enapter_async.operations.arguments import shown
from enapter_async.operations.nouns import noun_named, reading

NOT_READ: Final = "its present state is not known, for the operation does not say how to read it"


class Verdict(enum.StrEnum):
    """What a plan says of an operation. Equal to its own text."""

    CHANGE = "change"
    """It will be sent."""
    UNCHANGED = "unchanged"
    """It is so already; nothing will be sent."""
    ABSENT = "absent"
    """What is to be deleted is already gone; nothing will be sent."""
    MERGED = "merged"
    """An earlier operation of the plan asks for exactly the same."""
    REFUSED = "refused"
    """It cannot be done, and will not be tried; the plan says why."""


@attrs.frozen(kw_only=True)
class PlanRequest:
    """One operation that is asked for. `line` counts from 1 in the order of the input.

    `expected` are fields that the state must show now, else it is refused; None: any.
    """

    line: int
    operation: Operation[Any]
    expected: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Decision:
    """What is planned for one operation.

    `operation` addresses the thing by its id. `before` holds the guarded fields as they
    will be when its turn comes. `frees` and `takes` are the slug that it gives up and the
    one that it needs, as keys, where it does.
    """

    line: int
    operation: Operation[Any]
    verdict: Verdict
    why: str = ""
    before: Mapping[str, Any] | None = None
    frees: str | None = None
    takes: str | None = None


def judge(asked: Sequence[PlanRequest], found: Found) -> list[Decision]:
    """Judge all that is asked of one thing, in the order of the input.

    `found` is what is known of it. What contradicts itself is refused whole: which half was
    meant is unknown.
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
        why = f"operation {decisions[-1].line}, of the same {word}, comes first and is refused"
        decisions.append(_refused(each, each.operation, why))
    return decisions


def _contradiction(asked: Sequence[PlanRequest]) -> str | None:
    """Say where operations of one thing contradict each other, or None."""
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
                return f"operations {line} and {each.line} want two values for its {field}"
    return None


def _decide(each: PlanRequest, operation: Operation[Any], state: Any) -> Decision:
    target = operation.target()
    if state is None:
        return _decide_without_state(each, operation)
    if target.id is None and not operation.holds(state):
        return _refused(each, operation, f"another {target.word} has its key already")
    reason = _unexpected(each, state) or operation.pointless()
    if not reason and operation.holds(state):
        # Before the role is looked at: what need not be sent needs no role.
        return _decided(each, operation, Verdict.UNCHANGED, "it is so already")
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
    """Decide where nothing was found, or nothing could be looked for."""
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
            return f"its {field} is {told(now)}, and not {told(value)} any more"
    return ""


def told(value: Any) -> str:
    """Write a value of a state for a message."""
    if value is None or value == "":
        return "empty"
    return shown(value) if isinstance(value, str) else repr(value)


def _decided(each: PlanRequest, operation: Operation[Any], verdict: Verdict, why: str) -> Decision:
    return Decision(line=each.line, operation=operation, verdict=verdict, why=why)


def _refused(each: PlanRequest, operation: Operation[Any], why: str) -> Decision:
    return _decided(each, operation, Verdict.REFUSED, why)
