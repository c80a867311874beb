"""Temporal as an engine, for those who already run it: one workflow for each delivery.

The workflow only delivers: its single activity is retried until a worker has finished with the
partition. Waves, stops and the end of the job are decided elsewhere, so no state is kept twice.
Needs the extra `temporal`; importing this module imports Temporal's SDK.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from enapter_async.fleet.distributed.engine import Handler
from enapter_async.fleet.distributed.partitions import DEFAULT_QUEUE
from enapter_async.fleet.errors import JournalError

PREFIX: Final = "enapter-fleet "
"""Temporal's task queue for a queue is this prefix followed by the queue's name."""
HEARTBEAT_S: Final = 3.0
"""After how many seconds without a heartbeat a delivery passes to another worker."""
LONGEST: Final = timedelta(days=30)
"""How long a partition may take."""
CLOSE_S: Final = 10.0
_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=2)
)


@workflow.defn(name="enapter-fleet-delivery")
class _Delivery:
    """Delivers one key, again and again until a worker's handler has returned."""

    @workflow.run
    async def run(self, key: str, heartbeat: float) -> None:
        await workflow.execute_activity(
            "enapter-fleet-partition",
            args=(key, heartbeat),
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=timedelta(seconds=heartbeat),
            retry_policy=_RETRY,
        )


class TemporalEngine:
    """Delivers partitions by Temporal (extra `temporal`).

    `target` is the host and port of Temporal's server. A worker that names no queues takes from
    `default`.
    """

    def __init__(
        self, target: str, *, namespace: str = "default", heartbeat: float = HEARTBEAT_S
    ) -> None:
        self._target = target
        self._namespace = namespace
        self._heartbeat = heartbeat
        self._client: Client | None = None

    async def submit(self, key: str, queue: str) -> None:
        """Start the delivery of a key, unless one is in progress."""
        try:
            client = await self._connected()
            await client.start_workflow(
                _Delivery.run,
                args=(key, self._heartbeat),
                id=f"{PREFIX}{key}",
                task_queue=f"{PREFIX}{queue}",
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
        except WorkflowAlreadyStartedError:
            return
        except (RPCError, RuntimeError) as error:
            raise self._unreachable(error) from None

    async def work(self, handler: Handler, queues: Sequence[str] | None, slots: int) -> None:
        """Pass keys to the handler until cancelled."""

        @activity.defn(name="enapter-fleet-partition")
        async def partition(key: str, heartbeat: float) -> None:
            beating = asyncio.create_task(_beat(heartbeat))
            try:
                await handler(key)
            finally:
                beating.cancel()
                await asyncio.wait({beating})

        try:
            client = await self._connected()
            async with asyncio.TaskGroup() as tasks:
                for queue in queues or (DEFAULT_QUEUE,):
                    worker = Worker(
                        client,
                        task_queue=f"{PREFIX}{queue}",
                        workflows=[_Delivery],
                        activities=[partition],
                        max_concurrent_activities=slots,
                        # No sticky queue, so that no workflow waits for a worker that has died.
                        max_cached_workflows=0,
                        max_concurrent_workflow_task_polls=1,
                        workflow_runner=UnsandboxedWorkflowRunner(),
                        graceful_shutdown_timeout=timedelta(seconds=CLOSE_S),
                    )
                    tasks.create_task(worker.run())
        except* (RPCError, RuntimeError) as errors:
            raise self._unreachable(errors.exceptions[0]) from None

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await Client.connect(self._target, namespace=self._namespace)
        return self._client

    async def close(self) -> None:
        """Forget the connection, which the SDK closes."""
        self._client = None

    def _unreachable(self, error: Exception) -> JournalError:
        lines = str(error).splitlines() or [type(error).__name__]
        return JournalError(f"Temporal at {self._target} cannot be reached: {lines[0]}")


async def _beat(heartbeat: float) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            activity.heartbeat()
            await asyncio.sleep(heartbeat / 3)
