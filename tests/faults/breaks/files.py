"""Breaks of what a job keeps on disk, and of who it is that is told apart."""

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
            "fleet.journal.store:Journal.add",
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
            "fleet.reporting.status:RunStatus.read",
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
    }
)
