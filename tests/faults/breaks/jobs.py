"""Breaks of a job: its journal, its credentials, its waves, its plan and its rollback."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_CARRY_OUT: Final = "fleet.execution:Execution.carry_out"
_SESSION: Final = "fleet.journal.session:JournalSession"
_NEVER_HELD: Final = "test_an_item_that_an_earlier_session_may_have_done_is_never_held"

JOBS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "sent before the intent is written": Break(
            _CARRY_OUT,
            "await item_record.write_intent()",
            "item_record.write_intent().close()",
            by="fleet/test_intents.py::test_every_arrival_finds_its_intent",
            simulated=True,
        ),
        "sent again without a second intent": Break(
            _CARRY_OUT,
            "record.before_again = item_record.write_intent",
            "pass",
            by="fleet/test_intents.py::test_each_request_after_an_uncertain_one_has_its_own_intent",
            simulated=True,
        ),
        "sent though the journal failed": Break(
            _CARRY_OUT,
            "await item_record.write_intent()",
            'await __import__("asyncio").wait([item_record.write_intent()])',
            by="fleet/test_journal_failure.py::"
            "test_an_operation_whose_intent_was_not_written_holds_by_itself",
        ),
        "outcome before credentials": Break(
            "fleet.execution:Execution._keep",
            "await credential_store.store(self.operation, result, place)",
            "credential_store.store(self.operation, result, place).close()",
            by="fleet/test_truth.py::test_credentials_are_in_their_file_when_the_outcome_is_reported",
            simulated=True,
        ),
        "generated without room for the result": Break(
            "fleet.execution:Execution._before_sending",
            "outcome = await self._make_room(credential_store)",
            "pass",
            by="fleet/test_truth.py::test_without_space_for_all_in_flight_nothing_is_generated",
        ),
        "an answer with another value is success": Break(
            "operation:Operation.differs",
            "self.holds(result):",
            "True:",
            by="fleet/test_deduplication.py::test_an_answer_with_another_value_differs_and_shows_both",
        ),
        "a job's own reads give up while the server is away": Break(
            "fleet.patience:PatientReads.call",
            "if not is_away(error):",
            "if True:",
            by="fleet/test_outages.py::test_the_reads_around_a_wave_are_as_patient_as_the_run",
        ),
        "a device that moved to another slug is read at the old one": Break(
            "fleet.rollout.wave_runner:WaveRunner._shows",
            "(moved := operation.reads_moved())",
            "(moved := None)",
            by="fleet/test_outages.py::test_a_device_addressed_by_slug_is_read_back_at_its_new_one",
        ),
        "a run in progress is undone": Break(
            "fleet.planning.rollback:_Rollback.collect",
            "if store.is_held():",
            "if False:",
            by="fleet/test_rollback.py::"
            "test_only_a_run_that_has_stopped_and_items_that_exist_are_undone",
        ),
        "what differs is looked for as it was asked": Break(
            "fleet.planning.rollback:_shown",
            "replay.marks[item.seq] != Mark.DIFFERS",
            "True",
            by="fleet/test_differs.py::test_a_difference_is_reported_not_retried_and_undone",
        ),
        "what was cut off in flight is reported as held": Break(
            "fleet.execution:Execution._may_have_happened",
            "return self.in_doubt and",
            "return False and",
            by="fleet/test_leaving.py::test_cancelling_the_caller_cancels_operations_in_flight",
        ),
        "abort off by one": Break(
            "fleet.rollout.abort:AbortCriterion.met",
            "return failures * 10_000 >=",
            "return failures * 10_000 >",
            by="fleet/test_abort.py::test_reaching_a_share_stops_and_staying_below_does_not",
            simulated=True,
        ),
        "abort one too late": Break(
            "fleet.rollout.abort:AbortCriterion.met",
            "executed < self.min_executed",
            "executed <= self.min_executed",
            by="fleet/test_abort.py::test_nothing_is_judged_before_the_minimum_count",
            simulated=True,
        ),
        "an abort stops nothing": Break(
            "fleet.stop:StopSignal.because",
            "self.reason = reason",
            'self.reason = ""',
            by="fleet/test_stopping.py::"
            "test_after_a_criterion_trips_only_operations_in_flight_complete",
            simulated=True,
        ),
        "a 401 stops nothing": Break(
            "fleet.stop:stop_error",
            "return error if isinstance(error, HARD_STOPS) else None",
            "return None",
            by="fleet/test_truth.py::test_a_401_stops_the_run",
        ),
        "resume by offset": Break(
            f"{_SESSION}.left",
            "if item.seq < len(self._todo) and self._todo[item.seq]:",
            "if item.seq >= sum(self.earlier.values()):",
            by="fleet/test_resume.py::test_a_convergent_intent_without_outcome_is_run_again",
            simulated=True,
        ),
        "an intent without outcome is done again": Break(
            f"{_SESSION}._settle",
            "item.operation.repeat is not Repeat.ONCE or",
            "True or",
            by="fleet/test_resume.py::test_an_unknown_configuration_is_reported_skipped_or_repeated",
            simulated=True,
        ),
        "credentials in the file are forgotten": Break(
            f"{_SESSION}._kept",
            "for path in files)",
            "for path in files[:0])",
            by="fleet/test_resume.py::test_a_configuration_that_is_in_the_credentials_file_was_generated",
            simulated=True,
        ),
        "an earlier session's attempt is forgotten": Break(
            f"{_SESSION}.item_record",
            "if seq in self._uncertain:",
            "if False:",
            by=f"fleet/test_resume.py::{_NEVER_HELD}",
            simulated=True,
        ),
        "a session tells as held what an earlier one sent": Break(
            "fleet.execution:Execution.not_started",
            "if not self._uncertain:",
            "if True:",
            by=f"fleet/test_resume.py::{_NEVER_HELD}",
            simulated=True,
        ),
        "rows of a group are put in by their length": Break(
            "fleet.journal.sqlite.journal:SQLiteJournal.add",
            "itertools.groupby(events, len)",
            "itertools.groupby(sorted(events, key=len), len)",
            by="fleet/test_journal_writer.py::test_a_group_is_written_in_order",
        ),
        "a proxy's 404 is a device that is gone": Break(
            "fleet.reading:is_not_there",
            "isinstance(error, NotFoundError) and error.proven",
            "isinstance(error, NotFoundError)",
            by="fleet/test_absence.py::test_plan_guard_run_and_wave_agree_on_every_404",
            simulated=True,
        ),
        "waves overlap": Break(
            "fleet.run:Run._once_idle",
            "await self._stop_signal.unless(self._pool.idle)",
            "pass",
            by="fleet/test_waves.py::test_each_wave_is_over_before_the_next_begins",
            simulated=True,
        ),
        "a wave that went wrong passes": Break(
            "fleet.rollout.wave_runner:WaveRunner.turn_to",
            "if each.bad:",
            "if False:",
            by="fleet/test_waves.py::test_one_failure_in_a_first_wave_stops_the_run",
        ),
        "a wave is not read back": Break(
            "fleet.rollout.wave_runner:WaveRunner._read_back",
            "if differing:",
            "if False:",
            by="fleet/test_waves.py::test_a_wave_that_does_not_show_its_values_stops_the_run",
        ),
        "a resume reads back nothing of earlier sessions": Break(
            "fleet.journal.waves:WaveLog.recall",
            "if item.wave == wave and mark.done:",
            "if False:",
            by="fleet/test_passing.py::test_a_resume_reads_back_what_an_earlier_session_applied",
            simulated=True,
        ),
        "a resume forgets what failed in a first wave": Break(
            "fleet.journal.waves:WaveLog.recall",
            "if item.wave == wave and item.seq not in replay.acknowledged:",
            "if False:",
            by="fleet/test_passing.py::test_a_resume_stops_again_while_failures_remain",
            simulated=True,
        ),
        "the gates let everything pass": Break(
            "fleet.rollout.waves:Gate.is_exceeded",
            "return lost * 100 > self.most_lost * of",
            "return False",
            by="fleet/test_gates.py::test_a_device_that_cannot_be_read_is_not_well",
        ),
        "the health gate lets everything pass": Break(
            "fleet.rollout.examination:Examination.after",
            "if lost * 100 > gate.most_lost * len(were):",
            "if False:",
            by="fleet/test_waves.py::test_the_health_gate_compares_devices_that_were_online",
        ),
        "a site has more in flight than its places": Break(
            "fleet.ordering:GroupLimit.admit",
            "if busy >= self._most:",
            "if False:",
            by="fleet/test_rollout.py::test_no_group_ever_has_more_than_its_places",
        ),
        "a device's later work is not held": Break(
            "fleet.ordering:Ordering.blocked_by",
            'self._blocked.get(thing, "")',
            '""',
            by="fleet/test_run.py::test_later_operations_of_a_device_that_failed_are_held",
            simulated=True,
        ),
        "a device's works overtake each other": Break(
            "fleet.ordering:Ordering.admit",
            "queue.append(item)\n            return False",
            "return True",
            by="fleet/test_ordering.py::test_items_of_one_device_run_one_after_another",
            simulated=True,
        ),
        "the guard is skipped": Break(
            "fleet.workers:WorkerPool._held_back",
            "item.before is not None and",
            "False and",
            by="fleet/test_plan_applied.py::test_stale_items_are_held_and_a_resume_reads_them_again",
            simulated=True,
        ),
        "a stop cuts a begun circle of slugs": Break(
            "fleet.workers:WorkerPool._must_end",
            "item.unit in self._begun and",
            "False and",
            by="fleet/test_circles.py::test_a_stop_lets_a_begun_circle_end_and_starts_no_other",
        ),
        "a sensitive value is planned openly": Break(
            "operations.configuration:UpdateConfiguration.prepared",
            "if name in known and known[name].sensitive:",
            "if False:",
            by="fleet/test_configuration_plans.py::test_no_file_of_a_job_holds_a_sensitive_value",
        ),
        "what was changed since it was planned is overwritten": Break(
            "fleet.planning.drift:staleness",
            "if plain(now) != plain(planned):",
            "if False:",
            by="fleet/test_drift.py::test_only_the_guarded_fields_count",
        ),
        "contradictory operations are merged": Break(
            "fleet.journal.resume:_Requests.take",
            "if before != value:",
            "if False:",
            by="fleet/test_deduplication.py::test_contradictions_are_refused_with_their_places",
        ),
        "a plan's contradictions are carried out": Break(
            "fleet.planning.decisions:judge",
            "reason = found.problem or _contradiction(asked)",
            "reason = found.problem",
            by="fleet/test_plan.py",
        ),
        "a plan's checksum is not looked at": Break(
            "fleet.planning.plan_file:read_items",
            'row != {"items": count, "sha256": checksum.hexdigest()}',
            "False",
            by="fleet/test_plan_file.py::test_any_change_of_the_file_is_found",
        ),
        "an undo overwrites a later change": Break(
            "fleet.planning.decisions:_unexpected",
            "if plain(now) != plain(value):",
            "if False:",
            by="fleet/test_rollback.py::test_devices_changed_since_are_left_alone",
        ),
        "input is pulled without bound": Break(
            "fleet.producer:Producer.__init__",
            "self._window = ahead * concurrency",
            "self._window = 2 * ahead * concurrency",
            by="fleet/test_run.py::test_input_is_pulled_at_most_twice_the_concurrency_ahead",
        ),
        "a second runner of a journal is let in": Break(
            "fleet.journal.sqlite.lock:RunLock.take",
            'connection.execute("BEGIN EXCLUSIVE")',
            "pass",
            by="fleet/test_journal.py::test_a_second_runner_is_refused_and_the_first_continues",
        ),
        "an attempt begins although another session may have taken over": Break(
            "fleet.journal.lease:LeasedAttempts.may_begin",
            "self._lease.is_certain() and ",
            "",
            by="fleet/test_leased.py",
        ),
        "a session that was taken over writes on": Break(
            "fleet.journal.postgres.rows:group_statement",
            "sql = _OWN_DURABLY if durable else _OWN",
            'sql = _OWN.replace("AND epoch = %s", "AND %s > 0")',
            by="fleet/test_postgres_hold.py::test_a_session_that_lost_its_hold_writes_no_intent",
        ),
        "a cancellation that a hook lets out ends a worker unnoticed": Break(
            "fleet.workers:WorkerPool._carry_out",
            "return execution.cut_off() if self._withstand(error) else execution.broken(error)",
            "raise",
            by="fleet/test_broken_workers.py",
        ),
        "the last run is that of the latest clock": Break(
            "fleet.journal.run_folders:all_runs",
            "key=lambda path: (_number(path.name), path.name)",
            "key=lambda path: path.name",
            by="fleet/test_run_folders.py",
        ),
        "a job that was stopped goes on at the next start": Break(
            "integrations.folder_jobs:FolderJobs.stop",
            "request_stop(folder)",
            "pass",
            by="integrations/test_job_stopping.py::"
            "test_an_interrupted_and_stopped_job_does_not_continue_by_itself",
        ),
        "a closing backend waits for whatever is in flight": Break(
            "integrations.folder_jobs:FolderJobs.close",
            "live.run.cut()",
            "pass",
            by="integrations/test_job_stopping.py::"
            "test_a_closing_backend_waits_its_grace_and_no_longer",
        ),
        "an old request to stop stops a run that was resumed": Break(
            "fleet.journal.stop_request:stopping_on_request",
            "_path(folder).unlink(missing_ok=True)",
            "pass",
            by="integrations/test_job_stopping.py::test_an_old_stop_request_stops_no_later_session",
        ),
        "a watcher is told the end when a worker dies": Break(
            "integrations.job_watch:Watches._events",
            "now - cut_short_at >= self._patience",
            "True",
            by="integrations/test_job_stopping.py::"
            "test_a_watcher_elsewhere_waits_for_another_worker",
        ),
    }
)
