"""The methods for commands: `client.commands`.

Source: API page, "Device Commands".
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import attrs

from enapter_async.api.accepted import Following, FollowUp
from enapter_async.api.checking import checked
from enapter_async.api.executor import Executor
from enapter_async.api.paging import read_all
from enapter_async.errors import ArgumentError, StillPendingError
from enapter_async.models.commands import Execution, ExecutionsOrder
from enapter_async.operation import UNSET, Unset
from enapter_async.operations.commands import (
    CreateExecution,
    ExecuteCommand,
    GetExecution,
    ListExecutions,
)

WAIT: Final = timedelta(minutes=1)


@attrs.frozen
class Commands:
    """The methods for commands; each executes one operation, and some then read its outcome.

    A device is addressed by its id or its slug, and with `site_id` through that site. Every
    method raises at the `await` (`list` at the first execution), as those of `client.devices`
    do: `ConfigurationError` for a wrong argument, before anything is sent; `APIError` if the API
    refuses; `TransportError` or `DeadlineExceededError` if no answer arrived and nothing was
    created; `AmbiguousOutcomeError` if it is unknown whether the device received the command.
    """

    _executor: Executor

    async def execute(
        self,
        device_id: str,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        site_id: str | None = None,
        wait: timedelta = WAIT,
        check: bool = False,
    ) -> Execution:
        """Execute a command: create an execution, and read it until it has ended.

        `name` is the command's name, an alias, or a name of a profile that it implements. The
        execution is read after 0.5 s, and then at growing intervals of up to 10 s. The result is an
        execution that ended in SUCCESS. Raises `ResultDiffersError` if it ended in ERROR: the
        device carried it out, and reported a failure. Raises `StillPendingError` if it had not
        ended after `wait`, or could not be read; `follow` continues with the execution in its
        `result`. Raises `AmbiguousOutcomeError` if it ended in TIMEOUT or UNSYNC; and if the answer
        to the creation was lost, with the executions that it may have created in `candidates`.

        With `check`, the device is read first, and `ArgumentError` is raised if its manifest has no
        such command, or another type or range for an argument, or needs a higher role.

        Not safe to repeat: each call that arrives runs the command.
        """
        creation = CreateExecution(
            device_id=device_id, site_id=site_id, name=name, arguments=arguments
        )
        following = self._following(wait)
        if check:
            creation, _ = await checked(self._executor, creation)
        execution_id = await self._executor.execute(creation)
        return await self._followed(FollowUp.after(creation, execution_id), following)

    async def follow(
        self,
        device_id: str,
        execution_id: str,
        *,
        site_id: str | None = None,
        wait: timedelta = WAIT,
    ) -> Execution:
        """Read an execution until it has ended; the result and the errors are those of `execute`.

        It is read at once, and then as by `execute`. Changes nothing; safe to repeat.
        """
        following = self._following(wait)
        found = await self.get(device_id, execution_id, site_id=site_id)
        # The operation that is followed; its request no longer matters.
        creation = CreateExecution(device_id=device_id, site_id=site_id, name="any")
        return await self._followed(FollowUp.after(creation, found), following)

    def _following(self, wait: object) -> Following:
        if not isinstance(wait, timedelta) or wait < timedelta():
            raise ArgumentError(
                f"wait must be a timedelta, such as timedelta(seconds=60), and not negative; got "
                f"{wait!r}"
            )
        return Following(wait.total_seconds(), self._executor.clock)

    async def _followed(self, follow_up: FollowUp, following: Following) -> Execution:
        await follow_up.run(self._executor.execute, following)
        error = follow_up.error()
        result: Execution = follow_up.result
        if error is None:
            return result
        if isinstance(error, StillPendingError):
            error.result = result
        raise error

    async def create(
        self,
        device_id: str,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        site_id: str | None = None,
        ephemeral: bool | Unset = UNSET,
        check: bool = False,
    ) -> str:
        """Create an execution of a command, and return its id without waiting for its end.

        `check` is as for `execute`. An `ephemeral` execution is not listed, and the server deletes
        it after a day; if the answer is lost, no search can find it. Not safe to repeat.
        """
        creation = CreateExecution(
            device_id=device_id,
            site_id=site_id,
            name=name,
            arguments=arguments,
            ephemeral=ephemeral,
        )
        if check:
            creation, _ = await checked(self._executor, creation)
        execution_id: str = await self._executor.execute(creation)
        return execution_id

    async def execute_blocking(
        self,
        device_id: str,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        site_id: str | None = None,
        ephemeral: bool | Unset = UNSET,
        expand_log: bool = False,
        check: bool = False,
    ) -> Execution:
        """Execute a command with the API's blocking request, which returns once the execution ends.

        `execute` does the same with short requests, and loses less when a connection breaks. The
        answer may take 5 minutes longer than the client's limits allow. `check` and the errors
        raised are as for `execute`. Not safe to repeat.
        """
        command = ExecuteCommand(
            device_id=device_id,
            site_id=site_id,
            name=name,
            arguments=arguments,
            ephemeral=ephemeral,
            expand_log=expand_log,
        )
        if check:
            command, _ = await checked(self._executor, command)
        return await self._executor.execute(command)

    async def get(
        self,
        device_id: str,
        execution_id: str,
        *,
        site_id: str | None = None,
        expand_log: bool = False,
    ) -> Execution:
        """Read one execution in any state; changes nothing, so it is safe to repeat.

        With `expand_log`, its `log` holds all responses of the device, newest first.
        """
        return await self._executor.execute(
            GetExecution(
                device_id=device_id,
                site_id=site_id,
                execution_id=execution_id,
                expand_log=expand_log,
            )
        )

    def list(
        self,
        device_id: str | None = None,
        *,
        site_id: str | None = None,
        device_ids: Iterable[str] = (),
        states: Iterable[str] = (),
        names: Iterable[str] = (),
        created_at_gte: datetime | None = None,
        created_at_lt: datetime | None = None,
        order: str = ExecutionsOrder.CREATED_AT_ASC,
    ) -> AsyncGenerator[Execution, None]:
        """Yield the executions of a device, or of a site, optionally only of its `device_ids`.

        `states` and `names` each hold alternative values. `created_at_gte` and `created_at_lt`
        limit the time of creation; each needs a time zone. `order` is CREATED_AT_ASC or
        CREATED_AT_DESC. They are read lazily, page by page; ephemeral ones are not listed.
        Changes nothing; safe to repeat, and to stop early.
        """
        first = partial(
            ListExecutions,
            device_id=device_id,
            site_id=site_id,
            device_ids=device_ids,
            states=states,
            names=names,
            created_at_gte=created_at_gte,
            created_at_lt=created_at_lt,
            order=order,
        )
        return read_all(first, self._executor)
