"""Reads some devices of a run while it is watched: connectivity, alerts, and what failed ones log.

A bounded number of requests is sent, none of them is retried, and a few are in flight at once, so
that the run's own calls come first.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from enapter_async.cli.watched_run import Look
from enapter_async.client import Client
from enapter_async.errors import EnapterError, NotFoundError, reason_of
from enapter_async.models.logs import LogRecord, LogsOrder
from enapter_async.operation import Target
from enapter_async.operations.logs import ListLogs
from enapter_async.text import plain

LOGGED: Final = 3
"""How many devices' logs are read, those of the latest operations that were not done."""
LOGS_OF_ONE: Final = 2
AT_ONCE: Final = 4
LAST_S: Final = 3.0
"""How long the last read, after the end of the run, may take."""
_NOUN: Final = "device"
_GONE: Final = "not found"
_UNREAD: Final = "unreadable"
_NOT_TOLD: Final = "unknown"


@attrs.frozen(kw_only=True)
class DeviceLook:
    """A device: its connectivity, or why it could not be read, and its alerts if they are known."""

    name: str
    state: str
    alerts: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class DevicesLook:
    """What was read of some devices: `logs` are (device, log); `problem` says why more is not."""

    devices: tuple[DeviceLook, ...] = ()
    logs: tuple[tuple[str, LogRecord], ...] = ()
    problem: str = ""

    @property
    def states(self) -> Counter[str]:
        """How many devices are in each state."""
        return Counter(each.state for each in self.devices)

    @property
    def alerts(self) -> Counter[str]:
        """How many devices raise each alert."""
        return Counter(name for each in self.devices for name in each.alerts or ())


class WatchedDevices:
    """Reads the devices of a run every few seconds."""

    def __init__(self, client: Client, sample: Sequence[Target], every: float) -> None:
        self._client = client
        self._sample = [each for each in sample if each.noun == _NOUN and each.id is not None]
        self._every = every
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.last = DevicesLook()

    async def follow(self, looking: Callable[[], Look]) -> None:
        """Read the devices again and again until cancelled."""
        while True:
            await self.read(looking())
            await asyncio.sleep(self._every)

    async def read_last(self, look: Look) -> None:
        """Read the devices once more if they answer soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self.read(look)

    async def read(self, look: Look) -> None:
        """Read the devices of the shown operations, then the sampled ones, each once."""
        troubled = [each.outcome.operation.target() for each in look.troubles]
        failed = [each for each in troubled if each.noun == _NOUN and each.id is not None]
        chosen = {each.id: each for each in (*self._sample, *failed)}
        order = dict.fromkeys(each.id for each in (*failed, *self._sample))
        problems: list[str] = []
        devices, logs = await asyncio.gather(
            asyncio.gather(*(self._read_one(chosen[name], problems) for name in order)),
            asyncio.gather(
                *(self._logs(each, problems) for each in list(dict.fromkeys(failed))[:LOGGED])
            ),
        )
        self.last = DevicesLook(
            devices=tuple(devices),
            logs=tuple(entry for entries in logs for entry in entries),
            problem=problems[0] if problems else "",
        )

    async def _read_one(self, target: Target, problems: list[str]) -> DeviceLook:
        name = target.id or ""
        try:
            async with self._turns:
                device = await self._client.devices.get(
                    name, site_id=target.site_id, expand=("connectivity", "raised_alert_names")
                )
        except NotFoundError:
            return DeviceLook(name=name, state=_GONE)
        except EnapterError as error:
            problems.append(reason_of(error))
            return DeviceLook(name=name, state=_UNREAD)
        told = device.connectivity
        return DeviceLook(
            name=name,
            state=_NOT_TOLD if told is None else plain(told.status.lower()),
            alerts=device.raised_alert_names,
        )

    async def _logs(self, target: Target, problems: list[str]) -> list[tuple[str, LogRecord]]:
        """Return the newest logs of a device, the newest first."""
        newest = ListLogs(
            device_id=target.id or "",
            site_id=target.site_id,
            order=LogsOrder.RECEIVED_AT_DESC,
            limit=LOGS_OF_ONE,
        )
        try:
            async with self._turns:
                found = await self._client.execute(newest)
        except NotFoundError:
            return []
        except EnapterError as error:
            problems.append(reason_of(error))
            return []
        return [(target.id or "", log) for log in found[:LOGS_OF_ONE]]
