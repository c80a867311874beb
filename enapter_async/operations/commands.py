"""The operations on commands: creating, reading and listing executions.

An execution is created immediately, and the device carries it out later; `follow` reads its
outcome. Every argument is checked when the value is built, before any I/O.

Source: API page, "Device Commands".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.commands import Execution, ExecutionsOrder, ExecutionState
from enapter_async.models.devices import Device
from enapter_async.operation import (
    MIB,
    UNSET,
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Settles,
    Target,
    Unset,
)
from enapter_async.operations import command_arguments, device_arguments
from enapter_async.operations.devices import ListDevices
from enapter_async.operations.on_device import IDENTITY, OnDevice
from enapter_async.operations.pages import LARGEST_PAGE_BYTES, Page
from enapter_async.text import plain, rfc3339, shortened

T = TypeVar("T")

_BLOCKING_SECONDS: Final = 300.0


def _not_well(execution: Execution) -> str:
    """Return the failure of an execution that has ended, or "" if it succeeded."""
    state = execution.state
    if state == ExecutionState.ERROR:
        return f"execution {execution.id} ended in ERROR{_reason(execution)}"
    if state == ExecutionState.TIMEOUT:
        return f"execution {execution.id} ended in TIMEOUT: the device did not answer in time"
    if state == ExecutionState.UNSYNC:
        return f"execution {execution.id} ended in UNSYNC: the gateway did not report its outcome"
    return ""


def _reason(execution: Execution) -> str:
    """Return the reason that a device reported for an error, after a colon, or ""."""
    payload = None if execution.response is None else execution.response.payload
    for key in ("reason", "error", "message"):
        told = (payload or {}).get(key)
        if isinstance(told, str) and told:
            return f": {shortened(plain(told), 200)}"
    return ""


@attrs.frozen(kw_only=True)
class GetExecution(OnDevice[Execution]):
    """Read one execution; with `expand_log`, all responses of the device are included.

    Changes nothing, so it is safe to repeat.

    Source: API page "Device Commands", `GET devices/{device_id}/command_executions/{id}`.
    """

    kind: ClassVar[str] = "command.get_execution"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Execution]] = Answer(key="execution", type=Execution, max_bytes=MIB)

    execution_id: str = attrs.field(converter=command_arguments.execution_id)
    expand_log: bool = False

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(
            method="GET",
            path=self.path("command_executions", self.execution_id),
            query=(("expand", "log"),) if self.expand_log else (),
        )

    def accepts(self, result: Execution) -> bool:
        """Return whether the answer is about the requested execution."""
        return result.id.lower() == self.execution_id.lower()


@attrs.frozen(kw_only=True)
class ListExecutions(Page[Execution]):
    """Read one page of the executions of a device, or of a site.

    Set `device_id`, `site_id`, or both; `device_ids` selects devices of a site. `states` and
    `names` each hold alternative values; `created_at_gte` and `created_at_lt` are times with a time
    zone. Ephemeral executions are not listed. Changes nothing, so it is safe to repeat.

    Source: API page "Device Commands", `GET devices/{device_id}/command_executions` and
    `GET sites/{site_id}/commands/executions`.
    """

    kind: ClassVar[str] = "command.list_executions"
    proof: ClassVar[Operation[Any] | None] = ListDevices.proof
    answer: ClassVar[Answer[tuple[Execution, ...]]] = Answer(
        key="executions", type=tuple[Execution, ...], default=(), max_bytes=LARGEST_PAGE_BYTES
    )
    object_bytes: ClassVar[int] = 256 * 1024

    device_id: str | None = attrs.field(
        default=None, converter=attrs.converters.optional(device_arguments.device_id)
    )
    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)
    device_ids: tuple[str, ...] = attrs.field(default=(), converter=command_arguments.device_ids)
    states: tuple[ExecutionState, ...] = attrs.field(default=(), converter=command_arguments.states)
    names: tuple[str, ...] = attrs.field(default=(), converter=command_arguments.command_names)
    created_at_gte: datetime | None = attrs.field(
        default=None, converter=command_arguments.created_at_gte
    )
    created_at_lt: datetime | None = attrs.field(
        default=None, converter=command_arguments.created_at_lt
    )
    order: ExecutionsOrder = attrs.field(
        default=ExecutionsOrder.CREATED_AT_ASC, converter=command_arguments.order
    )

    def __attrs_post_init__(self) -> None:
        if self.device_id is None and self.site_id is None:
            raise ArgumentError("set device_id or site_id, for executions of a device or a site")
        if self.device_ids and (self.site_id is None or self.device_id is not None):
            raise ArgumentError("device_ids selects devices of a site; set site_id, not device_id")

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        site = () if self.site_id is None else ("sites", self.site_id)
        path = (*site, "commands", "executions")
        if self.device_id is not None:
            path = (*site, "devices", self.device_id, "command_executions")
        filters = (
            ("device_id.in", ",".join(self.device_ids)),
            ("state.in", ",".join(self.states)),
            ("name.in", ",".join(self.names)),
            ("created_at.gte", self.created_at_gte and rfc3339(self.created_at_gte)),
            ("created_at.lt", self.created_at_lt and rfc3339(self.created_at_lt)),
            ("order", str(self.order)),
        )
        query = tuple((name, value) for name, value in filters if value)
        return RequestParts(method="GET", path=path, query=query + self.paging())

    def proven_by(self) -> Operation[Any] | None:
        """Return a list of devices, of the same site if there is one."""
        return self.proof if self.site_id is None else ListDevices(site_id=self.site_id, limit=1)

    def when_missing(self, envelope: Mapping[str, Any]) -> tuple[Execution, ...] | Unset:
        """Return an empty tuple for `{}` too, which servers may send for an empty list."""
        return Page.when_missing(self, envelope) if envelope else ()

    def target(self) -> Target:
        """Return the device, or the list of the site's devices, as the target."""
        return Target("device", self.device_id, self.site_id)


@attrs.frozen(kw_only=True)
class _Command(OnDevice[T]):
    """A command for one device, by its name or alias, with its arguments."""

    plan_expand: ClassVar[tuple[str, ...]] = ("manifest",)

    name: str = attrs.field(converter=command_arguments.command_name)
    arguments: dict[str, Any] = attrs.field(
        factory=dict, converter=command_arguments.values, hash=False
    )
    ephemeral: bool | Unset = attrs.field(default=UNSET, converter=command_arguments.flag)

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"name": self.name, "arguments": self.arguments}
        if self.ephemeral is not UNSET:
            body["ephemeral"] = self.ephemeral
        return body

    def reads(self) -> ListExecutions:
        """Return the search for executions of this command, newest first."""
        return ListExecutions(
            device_id=self.device_id,
            site_id=self.site_id,
            names=(self.name,),
            order=ExecutionsOrder.CREATED_AT_DESC,
        )

    def candidates(self, found: Any) -> Sequence[Execution]:
        """Return the executions with the same name and arguments."""
        return [
            each
            for each in found or ()
            if each.request is not None
            and self.name in (each.request.name, each.request.manifest_name)
            and (each.request.arguments or {}) == self.arguments
        ]

    def created(self, candidate: Execution) -> datetime | None:
        """Return when an execution was created."""
        return candidate.created_at

    def fault(self, result: Any) -> str:
        """Return what went wrong, if the execution ended in ERROR, TIMEOUT or UNSYNC."""
        return _not_well(result) if isinstance(result, Execution) else ""

    def leaves_unknown(self, result: Any) -> bool:
        """Return whether the device may have carried out a command that did not succeed."""
        return isinstance(result, Execution) and result.state != ExecutionState.ERROR

    def details(self) -> dict[str, Any]:
        """Return the command's name and its arguments."""
        return {"name": self.name, **({"arguments": self.arguments} if self.arguments else {})}

    def guards(self) -> tuple[str, ...]:
        """Return the fields that identify a device, because a command cannot be undone."""
        return IDENTITY

    def obstacle(self, state: Device) -> str:
        """Return why the device would refuse the command, according to its manifest."""
        return command_arguments.obstacle(state, self.name, self.arguments)


@attrs.frozen(kw_only=True)
class CreateExecution(_Command[Any]):
    """Create an execution of a command; the result is its id, and `follow` reads its outcome.

    `name` is the command's name, an alias, or a name of a profile that it implements;
    `arguments` is a JSON object. An `ephemeral` execution is not listed, and is deleted after
    a day.

    Not safe to repeat: each request that arrives runs the command. After an uncertain outcome a
    search lists the executions that it may have created, but only a person can choose one of them.

    Source: API page "Device Commands", `POST devices/{device_id}/command_executions`.
    """

    kind: ClassVar[str] = "command.execute"
    result_name: ClassVar[str] = "execution"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    settles: ClassVar[Settles] = Settles.SEARCH
    answer: ClassVar[Answer[Any]] = Answer(key="execution_id", type=str, max_bytes=MIB)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        path = self.path("command_executions")
        return RequestParts(method="POST", path=path, body=self._body())

    def accepts(self, result: Any) -> bool:
        """Return whether the answer is an id by which the execution can be read."""
        return command_arguments.is_execution_id(result)

    def follow(self, result: Any) -> GetExecution | None:
        """Return the read of the execution, or None if it has ended."""
        if isinstance(result, Execution):
            if result.ended:
                return None
            result = result.id
        return GetExecution(device_id=self.device_id, site_id=self.site_id, execution_id=result)

    def first_state(self, result: Any) -> Execution:
        """Return the execution, of which only the id is known at first."""
        return result if isinstance(result, Execution) else Execution(id=result)

    def not_in_jobs(self) -> str:
        """Return a reason for ephemeral executions, which cannot be found again."""
        if self.ephemeral is True:
            return "an ephemeral execution is never listed, so its outcome could not be settled"
        return ""


@attrs.frozen(kw_only=True)
class ExecuteCommand(_Command[Execution]):
    """Execute a command in one request, which is answered once the execution has ended.

    The API may take minutes to answer, and keeps the connection open meanwhile; `CreateExecution`
    returns immediately. The fields are the same; with `expand_log`, all responses are included.

    Not safe to repeat: each request that arrives runs the command.

    Source: API page "Device Commands", `POST devices/{device_id}/execute_command`.
    """

    kind: ClassVar[str] = "command.execute_blocking"
    result_name: ClassVar[str] = "execution"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    settles: ClassVar[Settles] = Settles.SEARCH
    answer: ClassVar[Answer[Execution]] = Answer(
        key="execution", type=Execution, max_bytes=MIB, wait=_BLOCKING_SECONDS
    )

    expand_log: bool = False

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(
            method="POST",
            path=self.path("execute_command"),
            query=(("expand", "log"),) if self.expand_log else (),
            body=self._body(),
        )

    def not_in_jobs(self) -> str:
        """Return the operation to use in jobs instead."""
        return "a job creates an execution and follows it: use command.execute (CreateExecution)"
