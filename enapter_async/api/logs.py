"""The methods for logs: `client.logs`.

Source: API page, "Logs" and the websockets.
"""

from collections.abc import AsyncGenerator
from datetime import datetime
from functools import partial

import attrs

from enapter_async.api.executor import Executor
from enapter_async.api.paging import read_page
from enapter_async.api.streams import BUFFER, follow
from enapter_async.models.logs import Gap, LogRecord, LogsOrder, LogsShow
from enapter_async.operations.logs import ListLogs, StreamLogs


@attrs.frozen
class Logs:
    """The methods for the logs of devices.

    For each log, the device decides whether the API keeps it; the list shows those that were kept.
    `severity` is DEBUG, INFO, WARNING or ERROR; `show` is ALL, PERSISTED_ONLY or TEMPORARY_ONLY.
    """

    _executor: Executor

    async def list(
        self,
        device_id: str,
        *,
        severity: str | None = None,
        show: str = LogsShow.ALL,
        received_at_from: datetime | None = None,
        received_at_to: datetime | None = None,
        order: str = LogsOrder.RECEIVED_AT_ASC,
        site_id: str | None = None,
    ) -> AsyncGenerator[LogRecord, None]:
        """Yield the logs of a device, page by page, those received first unless `order` says so.

        The times need a time zone. Changes nothing; safe to repeat, and to stop early.
        """
        page = ListLogs(
            device_id=device_id,
            severity=severity,
            show=show,
            received_at_from=received_at_from,
            received_at_to=received_at_to,
            order=order,
            site_id=site_id,
        )
        last: tuple[LogRecord, ...] = ()
        while True:
            logs, limit = await read_page(page, page.limit, self._executor.execute)
            if not logs or logs == last:
                return  # the end, or a server without paging
            for log in logs:
                yield log
            last = logs
            page = attrs.evolve(page.following(len(logs)), limit=limit)

    def stream(
        self,
        device_id: str,
        *,
        severity: str | None = None,
        show: str = LogsShow.ALL,
        site_id: str | None = None,
        buffer: int = BUFFER,
    ) -> AsyncGenerator[LogRecord | Gap, None]:
        """Yield the logs of a device as they arrive, until the client is closed.

        If the connection is lost, another one is made, and the logs that the API kept meanwhile are
        read from the list. What cannot be recovered is reported as a `Gap`: temporary logs (unless
        `show` is PERSISTED_ONLY), and what was dropped because more than `buffer` items waited to
        be read. Raises `AuthenticationError`, `PermissionDeniedError` or `NotFoundError` if the API
        refuses.
        """
        make = partial(
            StreamLogs, device_id=device_id, severity=severity, show=show, site_id=site_id
        )

        def fill(since: datetime, until: datetime | None) -> AsyncGenerator[LogRecord, None]:
            return self.list(
                device_id,
                severity=severity,
                show=show,
                received_at_from=since,
                received_at_to=until,
                site_id=site_id,
            )

        complete = LogsShow(show) == LogsShow.PERSISTED_ONLY
        return follow(self._executor, make, buffer=buffer, fill=fill, complete=complete)
