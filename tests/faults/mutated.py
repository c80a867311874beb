"""The tests that must detect small changes of each module of the package.

The longest prefix of a module's name counts. The tests of a module are only those about it: a
change that only a distant test detects should be detected by the module's own tests.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.faults.forked import ROOT
from tests.faults.mutating import can_be_changed

PACKAGE: Final = "enapter_async"

_ONE_WAY: Final = ("-k", "not session and not uvloop and not stdlib")
"""One of the eight ways to run a test of a call."""

_BY_NAME: Final[Mapping[str, str]] = {
    "": "test_client.py test_hooks.py test_errors.py test_text.py cli/test_runs.py",
    "__main__": "cli/test_app.py",
    "_http": "http/test_action_table.py http/test_settlement.py http/test_retry.py "
    "http/test_keyed_lock.py",
    "_http.call": "http/test_settlement.py http/test_settling.py http/test_cancellation.py",
    "_http.dates": "http/test_retry_after.py",
    "_http.direct": "contract/test_aiohttp.py contract/test_probe.py http/test_network_faults.py "
    "http/test_hostile.py http/test_payload_faults.py",
    "_http.engine": "http/test_loops.py contract/test_session.py contract/test_probe.py",
    "_http.envelope": "http/test_wire.py http/test_evidence.py",
    "_http.evidence": "http/test_evidence.py http/test_wire.py http/test_absence.py "
    "http/test_freshness.py",
    "_http.headers": "http/test_extra_headers.py contract/test_requests.py",
    "_http.json_text": "http/test_json_text.py http/test_hostile.py",
    "_http.connections": "http/test_hostile.py",
    "_http.masking": "test_security.py",
    "_http.keyed_lock": "http/test_keyed_lock.py http/test_pacing.py http/test_cancellation.py",
    "limits": "limits/test_controller.py",
    "limits.limiter": "limits/test_limiter.py http/test_pacing.py",
    "_http.pipeline": "http/test_action_table.py http/test_settlement.py http/test_retry.py "
    "http/test_cancellation.py http/test_delays.py test_hooks.py",
    "_http.proxies": "http/test_proxies.py",
    "_http.retry": "http/test_retry.py contract/test_retrying.py http/test_delays.py "
    "http/test_settlement.py",
    "_http.searching": "fleet/test_searches.py http/test_settling.py",
    "_http.response": "http/test_response.py",
    "_http.security": "test_client.py test_security.py http/test_tls.py",
    "_http.session": "contract/test_session.py contract/test_probe.py",
    "_http.settlement": "http/test_settlement.py http/test_settling.py http/test_absence.py",
    "_http.transport": "contract/test_phases.py http/test_network_faults.py http/test_hostile.py",
    "_http.unpacking": "http/test_unpacking.py",
    "_http.wire": "http/test_wire.py http/test_evidence.py http/test_retry_after.py "
    "contract/test_requests.py http/test_false_witnesses.py test_security.py",
    "api": "api/test_devices.py operations/test_devices.py",
    "api.checking": "api/test_checks.py cli/test_commands.py",
    "api.commands": "api/test_commands.py operations/test_commands.py",
    "api.accepted": "fleet/test_accepted.py api/test_commands.py",
    "api.configuration": "operations/test_configuration.py",
    "api.provisioning": "api/test_provisioning.py",
    "api.sites": "operations/test_sites.py emulator/test_sites.py",
    "cli": "cli/test_app.py cli/test_fleet.py cli/test_runs.py cli/test_options.py",
    "cli.commands": "cli/test_commands.py",
    "cli.completion": "cli/test_completion.py",
    "cli.demo": "cli/test_demo.py",
    "cli.descriptors": "cli/test_deprived.py",
    "cli.devices": "cli/test_devices.py",
    "cli.doctor": "cli/test_doctor.py cli/test_options.py",
    "cli.emulator": "cli/test_emulator.py cli/test_options.py",
    "cli.fleet_plan": "cli/test_planning.py cli/test_template.py",
    "cli.fleet_status": "cli/test_runs.py cli/test_ways_on.py cli/test_reporting.py",
    "cli.fleet_stop": "cli/test_stop.py",
    "cli.fleet_undo": "cli/test_planning.py cli/test_options.py",
    "cli.interrupts": "cli/test_interrupts.py",
    "cli.profiles": "cli/test_profiles.py",
    "cli.progress": "cli/test_terminal.py cli/test_staging.py cli/test_ways_on.py",
    "cli.prompts": "cli/test_planning.py",
    "cli.rehearse": "cli/test_reporting.py cli/test_options.py",
    "cli.run_options": "cli/test_staging.py cli/test_options.py",
    "cli.configuration": "cli/test_devices.py cli/test_planning.py",
    "cli.env_files": "cli/test_provisioning.py",
    "cli.fleet_drift": "fleet/test_desired.py cli/test_planning.py",
    "cli.objects": "cli/test_devices.py cli/test_listing.py",
    "cli.writing": "cli/test_devices.py cli/test_listing.py",
    "cli.provisioning": "cli/test_provisioning.py",
    "cli.sites": "cli/test_devices.py cli/test_listing.py",
    "cli.streams": "cli/test_deprived.py cli/test_interrupts.py",
    "cli.summary": "cli/test_fleet.py cli/test_runs.py cli/test_terminal.py",
    "client": "test_client.py test_security.py",
    "concealment": "test_frames.py test_security.py",
    "converter": "converter/test_devices.py converter/test_configs.py converter/test_operations.py "
    "converter/test_payloads.py converter/test_strictness.py converter/test_times.py "
    "converter/test_writing.py",
    "diagnosis": "diagnosis/test_examination.py diagnosis/test_findings.py",
    "emulator": "emulator/test_server.py emulator/test_world.py emulator/test_routes.py",
    "emulator.commands": "api/test_commands.py",
    "emulator.configuration": "emulator/test_configuration.py",
    "emulator.provisioning": "api/test_provisioning.py",
    "emulator.sites": "emulator/test_sites.py",
    "emulator.faults": "emulator/test_faults.py",
    "emulator.fleetfile": "emulator/test_fleetfile.py",
    "emulator.log": "emulator/test_log.py",
    "emulator.plugin": "emulator/test_plugin.py",
    "emulator.seeding": "emulator/test_seeding.py",
    "fleet": "fleet/test_run.py fleet/test_truth.py fleet/test_stopping.py",
    "fleet.credentials": "fleet/test_credentials.py fleet/test_files_gone.py "
    "fleet/test_durability.py fleet/test_unread_answers.py fleet/test_truth.py",
    "fleet.execution": "fleet/test_truth.py fleet/test_intents.py fleet/test_differs.py "
    "fleet/test_resume.py fleet/test_absence.py fleet/test_broken_workers.py",
    "fleet.accepted": "fleet/test_accepted.py",
    "fleet.inputs": "fleet/test_operation_files.py fleet/test_run.py fleet/test_deduplication.py",
    "fleet.journal.lease": "fleet/test_leased.py fleet/test_postgres_troubles.py",
    "fleet.journal": "fleet/test_journal.py fleet/test_resume.py fleet/test_intents.py "
    "fleet/test_journal_failure.py fleet/test_deduplication.py",
    "fleet.journal.sqlite.schema": "fleet/test_journal.py fleet/test_read_only.py",
    "fleet.journal.run_folders": "fleet/test_run_folders.py fleet/test_durability.py "
    "fleet/test_journal.py cli/test_runs.py",
    "fleet.journal.before_column": "fleet/test_journal.py fleet/test_damaged_files.py",
    "fleet.journal.names": "fleet/test_stores.py",
    "fleet.journal.postgres": "fleet/test_stores.py fleet/test_postgres_hold.py "
    "fleet/test_postgres_troubles.py",
    "fleet.journal.reading": "fleet/test_journal.py fleet/test_damaged_files.py "
    "fleet/test_read_only.py",
    "fleet.journal.sqlite.journal": "fleet/test_journal.py fleet/test_journal_writer.py "
    "fleet/test_damaged_files.py fleet/test_files_gone.py fleet/test_read_only.py",
    "fleet.journal.sqlite.lock": "fleet/test_journal.py fleet/test_read_only.py",
    "fleet.journal.stop_request": "integrations/test_job_stopping.py cli/test_stop.py",
    "fleet.journal.waves": "fleet/test_wave_verification.py fleet/test_passing.py "
    "fleet/test_waves.py",
    "fleet.journal.sqlite.writer": "fleet/test_journal_writer.py fleet/test_journal_failure.py",
    "fleet.operation_files": "fleet/test_operation_files.py fleet/test_spreadsheets.py",
    "fleet.options": "fleet/test_options.py cli/test_options.py",
    "fleet.ordering": "fleet/test_ordering.py fleet/test_rollout.py",
    "fleet.outcomes": "fleet/test_outcomes.py fleet/test_run.py",
    "fleet.admission": "fleet/test_admission.py fleet/test_outages.py",
    "fleet.obstacles": "fleet/test_obstacles.py fleet/test_admission.py",
    "fleet.waits": "fleet/test_obstacles.py",
    "fleet.circuit_breaker": "fleet/test_circuit_breaker.py fleet/test_outages.py",
    "fleet.progress": "fleet/test_progress.py",
    "fleet.planning": "fleet/test_plan.py fleet/test_plan_slugs.py fleet/test_plan_file.py",
    "fleet.desired_files": "fleet/test_desired.py",
    "fleet.planning.circles": "fleet/test_circles.py",
    "fleet.planning.exporting": "fleet/test_desired.py",
    "fleet.planning.carried_out": "fleet/test_plan_once.py fleet/test_durability.py",
    "fleet.planning.decisions": "fleet/test_plan.py fleet/test_plan_slugs.py "
    "fleet/test_rollback.py fleet/test_own_operation.py fleet/test_plan_file.py",
    "fleet.planning.drift": "fleet/test_drift.py fleet/test_plan_applied.py fleet/test_absence.py",
    "fleet.planning.rollback": "fleet/test_rollback.py fleet/test_own_operation.py",
    "fleet.planning.selection": "fleet/test_selection.py fleet/test_plan.py",
    "fleet.planning.snapshot": "fleet/test_snapshot.py fleet/test_plan.py fleet/test_absence.py "
    "fleet/test_durability.py",
    "fleet.private_files": "fleet/test_private_files.py fleet/test_durability.py "
    "fleet/test_files_gone.py fleet/test_credentials.py",
    "fleet.producer": "fleet/test_run.py fleet/test_broken_workers.py fleet/test_leaving.py "
    "fleet/test_waves.py",
    "fleet.reading": "fleet/test_health.py fleet/test_waves.py fleet/test_searches.py",
    "fleet.reporting": "fleet/test_reporting.py fleet/test_differs.py",
    "fleet.reporting.results": "cli/test_runs.py fleet/test_differs.py fleet/test_damaged_files.py",
    "fleet.reporting.status": "cli/test_ways_on.py cli/test_runs.py fleet/test_status.py",
    "fleet.row_numbers": "fleet/test_row_numbers.py",
    "fleet.reporting.timeline": "fleet/test_timeline.py cli/test_ways_on.py",
    "fleet.rollout.abort": "fleet/test_abort.py fleet/test_stopping.py",
    "fleet.rollout.wave_runner": "fleet/test_wave_runner.py fleet/test_waves.py "
    "fleet/test_passing.py fleet/test_plan_applied.py",
    "fleet.rollout.waves": "fleet/test_rollout.py fleet/test_waves.py fleet/test_deduplication.py",
    "fleet.run": "fleet/test_run.py fleet/test_leaving.py fleet/test_broken_workers.py "
    "fleet/test_stopping.py fleet/test_journal_failure.py",
    "fleet.spreadsheets": "fleet/test_spreadsheets.py",
    "fleet.stop": "fleet/test_stop.py fleet/test_stopping.py fleet/test_truth.py "
    "fleet/test_broken_workers.py",
    "fleet.workers": "fleet/test_broken_workers.py fleet/test_run.py fleet/test_ordering.py "
    "fleet/test_leaving.py fleet/test_stopping.py fleet/test_journal_failure.py "
    "fleet/test_plan_applied.py",
    "integrations": "integrations/test_answers.py integrations/test_event_stream.py",
    "integrations.aiohttp_web": "integrations/test_answers.py integrations/test_event_stream.py "
    "integrations/test_examples.py",
    "integrations.answers": "integrations/test_answers.py integrations/test_words.py",
    "integrations.event_stream": "integrations/test_event_stream.py",
    "integrations.job": "integrations/test_jobs.py integrations/test_job_session.py "
    "integrations/test_job_reader.py integrations/test_job_stopping.py "
    "integrations/test_job_watch.py",
    "integrations.opentelemetry": "integrations/test_opentelemetry.py "
    "integrations/test_trace_context.py",
    "integrations.progress": "integrations/test_jobs.py integrations/test_job_session.py",
    "integrations.starlette": "integrations/test_abandoned.py integrations/test_event_stream.py "
    "integrations/test_examples.py",
    "logs": "test_logs.py",
    "models": "models/test_devices.py models/test_configs.py models/test_enumerations.py",
    "operation": "operations/test_devices.py operations/test_own.py operations/test_undo_values.py "
    "http/test_own_operations.py",
    "operations": "operations/test_devices.py operations/test_arguments.py "
    "operations/test_accepts.py operations/test_undo_values.py",
    "operations.command_arguments": "operations/test_commands.py",
    "operations.commands": "operations/test_commands.py api/test_commands.py",
    "models.commands": "operations/test_commands.py",
    "models.configuration": "operations/test_configuration.py",
    "models.manifest": "models/test_manifest.py operations/test_configuration.py",
    "models.sites": "operations/test_sites.py",
    "operations.configuration": "operations/test_configuration.py "
    "fleet/test_configuration_plans.py",
    "operations.device_noun": "fleet/test_desired.py fleet/test_snapshot.py",
    "operations.device_selection": "fleet/test_selection.py",
    "operations.on_device": "operations/test_on_device.py",
    "operations.provisioning": "api/test_provisioning.py fleet/test_provisioning.py",
    "operations.sites": "operations/test_sites.py fleet/test_site_plans.py",
    "operations.units": "fleet/test_provisioning.py",
    "operations.device_plans": "fleet/test_plan.py fleet/test_rollback.py",
    "profiles": "profiles/test_connection.py profiles/test_file.py profiles/test_owners.py",
    "routes": "test_routes.py",
}


def file_of(module: str) -> Path:
    """Return the file of a module."""
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def judges_of(module: str) -> Sequence[str]:
    """Return the arguments for pytest to judge the changes of a module."""
    name = module.removeprefix(PACKAGE).removeprefix(".")
    named = max((each for each in _BY_NAME if name.startswith(each)), key=len)
    files = [f"tests/{each}" for each in _BY_NAME[named].split()]
    return (*files, *_ONE_WAY) if named.startswith("_http") else files


@functools.cache
def judged_modules() -> Mapping[str, Sequence[str]]:
    """Return the tests of each module that contains anything to change."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if can_be_changed(path.read_text("utf-8")):
            found[name] = judges_of(name)
    return found
