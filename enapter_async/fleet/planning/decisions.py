"""What a plan says of each operation, judged by one device and all that is asked of it."""

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from enapter_async.fleet.planning.effects import Change, before_of, effect, wanted
from enapter_async.models.devices import AccessRole, CommunicationType, Device
from enapter_async.operation import UNSET
from enapter_async.operations.arguments import shown
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice

NOT_THERE: Final = "there is no such device, or this token may not see it"

_NO_CONFIG: Final = (CommunicationType.UCM_LUA, CommunicationType.UCM_EMBEDDED)
_ROLES: Final = AccessRole.known()


class Verdict(enum.StrEnum):
    """What a plan says of an operation. Equal to its own text."""

    CHANGE = "change"
    """It will be sent."""
    UNCHANGED = "unchanged"
    """The device is so already; nothing will be sent."""
    ABSENT = "absent"
    """The device to delete is already gone; nothing will be sent."""
    MERGED = "merged"
    """An earlier operation of the plan asks for exactly the same."""
    REFUSED = "refused"
    """It cannot be done, and will not be tried; the plan says why."""


@attrs.frozen(kw_only=True)
class PlanRequest:
    """One operation that is asked for. `line` counts from 1 in the order of the input.

    `expected` are fields that the device must show now, else it is refused; None: any.
    """

    line: int
    operation: Change
    expected: Mapping[str, str | None] | None = None


@attrs.frozen(kw_only=True)
class Decision:
    """What is planned for one operation.

    `operation` addresses the device by its id. `before` holds the guarded fields as they
    will be when its turn comes. `frees` and `takes` are the slug that it gives up and the
    one that it needs, where it does.
    """

    line: int
    operation: Change
    verdict: Verdict
    why: str = ""
    before: Mapping[str, str | None] | None = None
    frees: str | None = None
    takes: str | None = None


def judge(
    asked: Sequence[PlanRequest], state: Device | None, problem: str | None
) -> list[Decision]:
    """Judge all that is asked of one device, in the order of the input.

    `state` is the device now, None where there is none; `problem` says why nobody knows.
    What contradicts itself is refused whole: which half was meant nobody can say.
    """
    reason = problem or _contradiction(asked)
    if reason is not None:
        return [_refused(each, each.operation, reason) for each in asked]
    decisions: list[Decision] = []
    first_lines: dict[Change, int] = {}
    for each in asked:
        operation = each.operation if state is None else _addressed(each.operation, state.id)
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
        why = f"operation {decisions[-1].line}, of the same device, comes first and is refused"
        decisions.append(_refused(each, each.operation, why))
    return decisions


def _contradiction(asked: Sequence[PlanRequest]) -> str | None:
    """Say where operations of one device contradict each other, or None."""
    values: dict[str, tuple[str, int]] = {}
    deleted: int | None = None
    for each in asked:
        if deleted is not None and not isinstance(each.operation, DeleteDevice):
            return (
                f"operation {each.line} comes after operation {deleted}, which deletes the device"
            )
        if isinstance(each.operation, DeleteDevice) and deleted is None:
            deleted = each.line
        for field, value in wanted(each.operation).items():
            first, line = values.setdefault(field, (value, each.line))
            if first != value:
                return f"operations {line} and {each.line} want two values for its {field}"
    return None


def _addressed(operation: Change, device_id: str) -> Change:
    changed: Change = attrs.evolve(operation, device_id=device_id)
    return changed


def _decide(each: PlanRequest, operation: Change, state: Device | None) -> Decision:
    if state is None:
        if isinstance(operation, DeleteDevice):
            return _decided(each, operation, Verdict.ABSENT, "the device is already gone")
        return _refused(each, operation, NOT_THERE)
    reason = _unexpected(each, state) or _senseless(operation)
    if reason is None and operation.holds(state):
        # Before the role is looked at: what need not be sent needs no role.
        return _decided(each, operation, Verdict.UNCHANGED, "it is so already")
    reason = reason or _impossible(operation, state)
    if reason is not None:
        return _refused(each, operation, reason)
    after = effect(operation, state)
    slug = None if after is None else after.slug
    return Decision(
        line=each.line,
        operation=operation,
        verdict=Verdict.CHANGE,
        before=before_of(operation, state),
        frees=state.slug or None if slug != state.slug else None,
        takes=slug if slug != state.slug else None,
    )


def _unexpected(each: PlanRequest, state: Device) -> str | None:
    for field, value in (each.expected or {}).items():
        now = getattr(state, field)
        if (now or None) != (value or None):
            return (
                f"its {field} is {shown(now) if now else 'empty'}, "
                f"and not {shown(value) if value else 'empty'} any more"
            )
    return None


def _senseless(operation: Change) -> str | None:
    """Return why the operation would be refused for any device, or None."""
    if isinstance(operation, UpdateDevice):
        for field in ("name", "slug"):
            value = getattr(operation, field)
            if value is not UNSET and not value:
                return f"an empty {field} changes nothing: the API takes it for 'leave it alone'"
    return None


def _impossible(operation: Change, state: Device) -> str | None:
    """Return what the API page says against it, where the device itself shows that, or None."""
    if isinstance(operation, UpdateDevice | DeleteDevice):
        role = state.authorized_role
        if role in _ROLES and _ROLES.index(role) < _ROLES.index(AccessRole.OWNER):
            return f"it needs the role OWNER, and this token's role there is {role}"
    if isinstance(operation, GenerateConfig) and state.communication is not None:
        way = state.communication.type
        if way in _NO_CONFIG:
            return f"a device that communicates by {way} has no configuration of its own"
    return None


def _decided(each: PlanRequest, operation: Change, verdict: Verdict, why: str) -> Decision:
    return Decision(line=each.line, operation=operation, verdict=verdict, why=why)


def _refused(each: PlanRequest, operation: Change, why: str) -> Decision:
    return _decided(each, operation, Verdict.REFUSED, why)
