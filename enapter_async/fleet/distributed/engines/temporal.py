"""Temporal as an engine, for those who already run it: one activity for each delivery.

The activity is retried until a worker has finished with the partition. It stands alone, without a
workflow; a server older than 1.31 starts activities only in a workflow, so there each delivery has
one that does nothing else. Waves, stops and the end of the job are decided elsewhere, so no state
is kept twice. Needs the extra `temporal`; importing this module imports Temporal's SDK.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkerDeploymentVersion, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityAlreadyStartedError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from enapter_async._version import __version__
from enapter_async.fleet.distributed.engine import Handler
from enapter_async.fleet.distributed.partition_run import LOGGER
from enapter_async.fleet.distributed.partitions import DEFAULT_QUEUE
from enapter_async.fleet.errors import JournalError

logger = logging.getLogger(LOGGER)

PREFIX: Final = "enapter-fleet "
"""Temporal's task queue for a queue is this prefix followed by the queue's name."""
HEARTBEAT_S: Final = 3.0
"""After how many seconds without a heartbeat a delivery passes to another worker."""
LONGEST: Final = timedelta(days=30)
"""How long a partition may take."""
CLOSE_S: Final = 10.0
_BUILD: Final = WorkerDeploymentConfig(
    version=WorkerDeploymentVersion("enapter-fleet", __version__), use_worker_versioning=False
)
"""What identifies a worker's code to the server. Otherwise, the SDK would read and hash all modules
of the program, which takes about 0.1 s, during which nothing else runs."""
_PARTITION: Final = "enapter-fleet-partition"


def _delivery(key: str, heartbeat: float) -> dict[str, Any]:
    """Return what starts the activity that delivers a key until a worker's handler has returned."""
    return {
        "arg": key,
        "start_to_close_timeout": LONGEST,
        "heartbeat_timeout": timedelta(seconds=heartbeat),
        "retry_policy": RetryPolicy(
            initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=2)
        ),
    }


@workflow.defn(name="enapter-fleet-delivery")
class _Delivery:
    """Delivers one key by a server that starts no activity without a workflow."""

    @workflow.run
    async def run(self, key: str, heartbeat: float) -> None:
        await workflow.execute_activity(_PARTITION, **_delivery(key, heartbeat))


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
        self._standalone = True
        """Whether the server starts activities without a workflow, as far as it has answered."""

    async def submit(self, key: str, queue: str) -> None:
        """Start the delivery of a key, unless one is in progress."""
        try:
            await self._start(f"{PREFIX}{key}", key, f"{PREFIX}{queue}")
        except (ActivityAlreadyStartedError, WorkflowAlreadyStartedError):
            return
        except (RPCError, RuntimeError) as error:
            raise self._unreachable(error) from None

    async def _start(self, name: str, key: str, task_queue: str) -> None:
        client = await self._connected()
        if self._standalone:
            try:
                await client.start_activity(
                    _PARTITION, id=name, task_queue=task_queue, **_delivery(key, self._heartbeat)
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.UNIMPLEMENTED:
                    raise
                self._standalone = False
                logger.info(
                    "Temporal at %s (%s) starts activities only in workflows, which take several "
                    "times the CPU time; servers from 1.31 on need none", self._target, error,
                )  # fmt: skip
            else:
                return
        await client.start_workflow(
            _Delivery.run,
            args=(key, self._heartbeat),
            id=name,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )

    async def work(self, handler: Handler, queues: Sequence[str] | None, slots: int) -> None:
        """Pass keys to the handler until cancelled."""

        @activity.defn(name=_PARTITION)
        async def partition(key: str) -> None:
            beating = asyncio.create_task(_beat())
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
                        deployment_config=_BUILD,
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


async def _beat() -> None:
    timeout = activity.info().heartbeat_timeout or timedelta(seconds=HEARTBEAT_S)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(timeout.total_seconds() / 3)
            activity.heartbeat()
