"""Shows the latest values of each watched device on a terminal, redrawn in place."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final

from rich.console import Group
from rich.live import Live
from rich.text import Text

from enapter_async.cli.connecting import client_of
from enapter_async.cli.following import gap_text, shown_time
from enapter_async.cli.objects import run_reading
from enapter_async.cli.options import Settings
from enapter_async.cli.rows import text_of
from enapter_async.cli.summary import output_console
from enapter_async.cli.tables import first
from enapter_async.client import Client
from enapter_async.models.logs import DeviceEvent, Gap
from enapter_async.text import plain

A_SECOND: Final = 4
"""How often the view is redrawn."""


class DeviceView:
    """The latest values of each device, and its latest log; what arrives is merged by name."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._seen: dict[str, str] = dict.fromkeys(devices, "")
        self._values: dict[str, dict[str, Any]] = {device: {} for device in devices}
        self._logs: dict[str, str] = {}
        self._gap = ""

    def take(self, item: DeviceEvent | Gap) -> None:
        """Add an item of a stream."""
        if isinstance(item, Gap):
            self._gap = gap_text(item)
            return
        name = item.device_id
        self._seen[name] = shown_time(item.received_at or item.timestamp)
        self._values.setdefault(name, {}).update(item.telemetry or item.properties or {})
        if item.log is not None:
            self._logs[name] = f"{plain(item.log.severity or '')} {plain(item.log.message)}"

    def __rich__(self) -> Group:
        """Return what is drawn: for each device its id and time, its values, and its log."""
        return Group(*self._lines())

    def _lines(self) -> Iterator[Text]:
        for name, time in self._seen.items():
            head = Text(plain(name), "bold", overflow="fold")
            yield head.append(f"  {time or 'nothing has arrived yet'}", "not bold dim")
            values = self._values[name].items()
            if values:
                told = "  ".join(f"{plain(key)}={plain(text_of(value))}" for key, value in values)
                yield Text(f"  {told}")
            if name in self._logs:
                yield Text(f"  {self._logs[name]}", "yellow", no_wrap=True, overflow="ellipsis")
        if self._gap:
            yield Text(f"there may be a gap: {self._gap}", "dim")


def draw_devices(
    settings: Settings,
    devices: Sequence[str],
    streaming: Callable[[Client], AsyncGenerator[DeviceEvent | Gap, None]],
    *,
    limit: int | None,
) -> None:
    """Draw what a stream of devices yields until Ctrl-C, or until that many items have arrived."""

    async def work() -> None:
        view = DeviceView(devices)
        live = Live(view, console=output_console(), refresh_per_second=A_SECOND)
        async with client_of(settings) as client, contextlib.aclosing(streaming(client)) as stream:
            with live:
                async for item in first(stream, limit):
                    view.take(item)

    run_reading(work)
