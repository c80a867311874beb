"""Breaks of the files that a job keeps, and of identity checks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

FILES: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "credentials go on into a file that is gone": Break(
            "fleet.credentials:CredentialsFile._check",
            "self._named.check()",
            "pass",
            by="fleet/test_files_gone.py",
        ),
        "a journal that is gone is written on": Break(
            "fleet.journal.sqlite.journal:SQLiteJournal.add",
            "file.check()",
            "pass",
            by="fleet/test_files_gone.py",
        ),
        "a plan of configurations is carried out twice": Break(
            "fleet.planning.carried_out:PlanClaim._check",
            "token != self.facts[CLAIM]",
            "False",
            by="fleet/test_plan_once.py",
        ),
        "a run at work is told as unknown": Break(
            "fleet.reporting.status:_Known.status",
            "counts[State.UNKNOWN] -= len(flying)",
            "pass",
            by="cli/test_ways_on.py",
        ),
        "a run that is stuck is only to be gone on with": Break(
            "fleet.reporting.status:RunStatus.ways_on",
            "if not self.stuck and (",
            "if (",
            by="cli/test_ways_on.py",
        ),
        "credentials are told as kept before they are on the disk": Break(
            "fleet.private_files:write_durably",
            "os.fdatasync(descriptor)",
            "pass",
            by="fleet/test_durability.py",
        ),
        "the name of a new private file is not synced": Break(
            "fleet.private_files:open_private",
            "sync_directory(Path(path).parent)",
            "pass",
            by="fleet/test_durability.py",
        ),
        "what a backend wants of a job is not synced": Break(
            "fleet.private_files:written_whole",
            "os.fsync(descriptor)",
            "pass",
            by="fleet/test_durability.py",
        ),
        "the name of a file that is written whole is not synced": Break(
            "fleet.private_files:written_whole",
            "sync_directory(where.parent)",
            "pass",
            by="fleet/test_durability.py",
        ),
        "the folder of a run is not synced": Break(
            "fleet.journal.run_folders:RunFolder.create",
            "sync_directory(folder)",
            "pass",
            by="fleet/test_durability.py",
        ),
        "credentials of another run are taken as this one's": Break(
            "fleet.credentials:kept_in",
            'row.get("run") == run',
            "True",
            by="fleet/test_durability.py",
        ),
        "an id that is another's slug takes the first": Break(
            "fleet.planning.snapshot:Snapshot.find",
            "if len(rows) > 1:",
            "if False:",
            by="fleet/test_durability.py",
        ),
    }
)
