"""Command executions: requests to a device, and their outcomes.

Source: API page, "Device Commands".
"""

from datetime import datetime
from typing import Any, ClassVar, Final, Self

import attrs

from enapter_async.models.enumerations import OpenEnum


class ExecutionState(OpenEnum):
    """The state of an execution; an open enumeration (see `OpenEnum`)."""

    NEW: ClassVar[Self]
    """Accepted by the API; the device has not answered yet."""
    IN_PROGRESS: ClassVar[Self]
    """The device has reported that it is working on the command."""
    SUCCESS: ClassVar[Self]
    ERROR: ClassVar[Self]
    """The device carried out the command, and answered that it failed."""
    TIMEOUT: ClassVar[Self]
    """The device did not answer in time; it may have carried out the command."""
    UNSYNC: ClassVar[Self]
    """The gateway has not reported the outcome; it may have been carried out."""


_FINAL: Final = (
    ExecutionState.SUCCESS,
    ExecutionState.ERROR,
    ExecutionState.TIMEOUT,
    ExecutionState.UNSYNC,
)


class CommandResponseState(OpenEnum):
    """The state that a device reports in a response; an open enumeration."""

    STARTED: ClassVar[Self]
    IN_PROGRESS: ClassVar[Self]
    SUCCEEDED: ClassVar[Self]
    ERROR: ClassVar[Self]


class ExecutionsOrder(OpenEnum):
    """The order of listed executions, by the time of their creation."""

    CREATED_AT_ASC: ClassVar[Self]
    """Oldest first."""
    CREATED_AT_DESC: ClassVar[Self]
    """Newest first."""


@attrs.frozen(kw_only=True)
class CommandRequest:
    """The command as it was requested.

    `name` is the name or the alias that was sent, `manifest_name` the command's name in the
    device's manifest, if the server reports it.
    """

    name: str
    manifest_name: str | None = None
    # JSON objects are not hashable; equal requests still have equal hashes.
    arguments: dict[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True)
class CommandResponse:
    """One response of the device; `payload` is a plain JSON object, as sent, or None."""

    state: CommandResponseState | None = None
    received_at: datetime | None = None
    payload: dict[str, Any] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True)
class Execution:
    """One execution of a command; only `id` is always present.

    `response` is the device's latest response, None until there is one. `log` holds all of
    them, newest first, and is None unless it was requested. `ephemeral` executions are not
    listed, and are deleted by the server after a day. Times are aware UTC datetimes.
    """

    id: str
    state: ExecutionState | None = None
    device_id: str | None = None
    created_at: datetime | None = None
    request: CommandRequest | None = None
    response: CommandResponse | None = None
    log: tuple[CommandResponse, ...] | None = None
    ephemeral: bool | None = None

    @property
    def ended(self) -> bool:
        """Whether its state is final; an unknown state is not."""
        return self.state in _FINAL
