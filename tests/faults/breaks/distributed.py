"""Breaks of a job of several workers: its rate, its partitions, its stop and its waves."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_JOBS: Final = "distributed/test_jobs.py::"

DISTRIBUTED: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "slots that were missed are used all at once": Break(
            "limits.shared:SharedLimiter._is_due",
            "late = max(LATE_S, 1.0 / self._slots.max_rate)",
            "late = 1000.0",
            by="limits/test_shared.py::"
            "test_a_process_that_wakes_up_late_does_not_send_what_it_missed",
        ),
        "a device in two partitions": Break(
            "fleet.distributed.partitions:Division._links",
            "if thing is not None and hash(thing) in repeated:",
            "if False:",
            by="distributed/test_partitions.py::test_a_device_is_never_divided_and_keeps_its_order",
        ),
        "a fault in a first wave is passed over": Break(
            "fleet.distributed.coordinator:_not_passed",
            "if wave.wave < CAREFUL and any(bad.values()):",
            "if False:",
            by=f"{_JOBS}test_a_first_wave_with_a_fault_stops_the_job_until_it_is_fixed",
        ),
        "a gate that is not passed starts the next wave": Break(
            "fleet.distributed.keeper:Keeper._begin_examined",
            "if judged.why:",
            "if False:",
            by="distributed/test_gates.py::"
            "test_alerts_that_a_wave_raises_stop_the_job_on_all_workers",
        ),
        "each worker's failures count alone": Break(
            "fleet.distributed.coordinator:_too_many",
            "sum(each.judged.get(key, 0) for each in waves)",
            "max(each.judged.get(key, 0) for each in waves)",
            by="distributed/test_coordinator.py::test_the_failures_of_all_workers_stop_it_together",
        ),
        "a partition in progress ignores the stop of its job": Break(
            "fleet.distributed.partition_run:PartitionRun._watch",
            'self.stop(f"the job was stopped: {stop}")',
            "pass",
            by=f"{_JOBS}test_a_stopped_job_continues_where_it_was",
        ),
        "another token works on a job unasked": Break(
            "fleet.distributed.worker:Worker._is_admitted",
            'if begun_with != token and not job.options.get("accept_new_token"):',
            "if False:",
            by=f"{_JOBS}test_a_different_token_is_used_only_if_accepted",
        ),
        "configurations are generated without a place for them": Break(
            "fleet.distributed.worker:Worker._is_admitted",
            'if job.facts["secrets"] and self._credentials is None:',
            "if False:",
            by=f"{_JOBS}test_generated_configurations_stay_with_their_worker",
        ),
        "another resume with other options is not refused": Break(
            "fleet.distributed.job_records:Control.resume",
            "if now is not None and _journalled(now.options) != _journalled(options):",
            "if False:",
            by="distributed/test_resuming.py::"
            "test_of_two_that_resume_a_job_differently_one_is_refused_and_names_the_other",
        ),
        "a check between waves does not wait for the server": Break(
            "fleet.distributed.keeper:Keeper._step",
            "examination = Examination(reads, clock, job.rollout)",
            "examination = Examination(client, clock, job.rollout)",
            by="distributed/test_gates.py::"
            "test_an_unavailable_server_passes_no_gate_and_fails_none",
        ),
    }
)
