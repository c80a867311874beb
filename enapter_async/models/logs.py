"""Models of what devices and rules report while they run: logs, device events, and gaps.

Source: API page, "Logs" and the websockets.
"""

from datetime import datetime
from typing import Any, ClassVar, Self

import attrs

from enapter_async.models.enumerations import OpenEnum


class LogSeverity(OpenEnum):
    """How serious a log is; an open enumeration (see `OpenEnum`)."""

    DEBUG: ClassVar[Self]
    INFO: ClassVar[Self]
    WARNING: ClassVar[Self]
    ERROR: ClassVar[Self]


class LogsOrder(OpenEnum):
    """The order of listed logs, by the time at which the API received them."""

    RECEIVED_AT_ASC: ClassVar[Self]
    """Oldest first."""
    RECEIVED_AT_DESC: ClassVar[Self]
    """Newest first."""


class LogsShow(OpenEnum):
    """Which logs are wanted; for each log, the device decides whether the API keeps it."""

    ALL: ClassVar[Self]
    PERSISTED_ONLY: ClassVar[Self]
    """Those that are kept."""
    TEMPORARY_ONLY: ClassVar[Self]
    """Those that are not."""


@attrs.frozen(kw_only=True)
class LogRecord:
    """One log of a device or a rule; a field that the server omitted is None.

    `timestamp` is the device's time, `received_at` that of the API; logs of rules have none.
    """

    message: str = ""
    severity: LogSeverity | None = None
    timestamp: datetime | None = None
    received_at: datetime | None = None


@attrs.frozen(kw_only=True)
class DeviceEvent:
    """What a device just sent: its `telemetry`, its `properties`, or a `log`; the others are None.

    If the server does not say when it was received, use `timestamp`.
    """

    device_id: str
    timestamp: datetime | None = None
    received_at: datetime | None = None
    telemetry: dict[str, Any] | None = attrs.field(default=None, hash=False)
    properties: dict[str, Any] | None = attrs.field(default=None, hash=False)
    log: LogRecord | None = None


@attrs.frozen(kw_only=True)
class Gap:
    """A part of a stream that may be missing; streams yield it where it belongs.

    `reason` says why. `since` is the time of the last item before it, or when the connection was
    made; `until` when the stream went on, None if it has not yet. `dropped` is the number of items
    that were left out because they were read too slowly, or could not be read; None if it is
    unknown. If `fillable`, the API can still list what is missing, as `client.logs.list` does.
    """

    reason: str
    since: datetime | None = None
    until: datetime | None = None
    fillable: bool = False
    dropped: int | None = None
