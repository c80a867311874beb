"""Breaks of the jobs of a web backend: what its replicas share, and who may act."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_DATABASE: Final = "integrations/test_database_jobs.py::"
_WORKERS: Final = "distributed/test_open_client.py::"

BACKENDS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "an abandoned request cuts the connection of all others": Break(
            "fleet.journal.postgres.jobs:PostgresJobs.execute",
            "except (driver().Error, TimeoutError, OSError) as error:",
            "except (driver().Error, asyncio.CancelledError) as error:",
            by=f"{_DATABASE}test_an_abandoned_request_disturbs_no_other",
        ),
        "a job that another replica has just resumed is told as over": Break(
            "integrations.database_jobs:DatabaseJobs.get",
            "shared=False",
            "shared=True",
            by=f"{_DATABASE}test_any_replica_stops_resumes_and_retries_a_job",
        ),
        "a stream ends while the database is away": Break(
            "integrations.job_watch:Watches._events",
            "except JournalError:",
            "except ZeroDivisionError:",
            by=f"{_DATABASE}test_a_watch_outlives_a_crash_of_the_database",
        ),
        "a page of another site acts for whoever looks at it": Break(
            "integrations.origins:is_foreign",
            "return site not in _OWN",
            "return False",
            by="integrations/test_origins.py",
        ),
        "results are given of a job that runs": Break(
            "integrations.jobs:Jobs.results",
            "if (await self.get(job)).active:",
            "if False:",
            by="integrations/test_downloads.py",
        ),
        "a killed worker's file of configurations is named nowhere": Break(
            "fleet.distributed.partition_run:PartitionRun._carry_out",
            "if self._credentials is not None:",
            "if False:",
            by=f"{_WORKERS}test_a_job_names_every_worker_that_may_hold_its_configurations",
        ),
        "a worker's grace has no end": Break(
            "fleet.distributed.worker:Worker._drain",
            "run.cut()",
            "pass",
            by=f"{_WORKERS}test_what_is_in_flight_is_cut_off_after_the_grace",
        ),
    }
)
