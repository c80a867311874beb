"""Records which plans were applied, so that no plan generates its configurations twice.

No device shows a generated configuration, so no guard can detect that a plan was applied.
A plan is therefore identified by the id in its header, whatever its file, folder or process, and
a file in the user's state folder records which run has taken it.
"""

import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import PlanCarriedOutError
from enapter_async.fleet.journal.run_folders import runs_directory
from enapter_async.fleet.private_files import open_private, sync_directory, write_durably

PLAN: Final = "plan"
CLAIM: Final = "claim"
"""The names of the journal facts for the plan that a run applies, and for its claim to it."""

_HOW: Final = (
    "to do it again, make a new plan, or allow this one to be applied again (again=True, --again)"
)


@attrs.frozen
class PlanClaim:
    """One run's claim to a plan: no other run may apply it."""

    path: Path
    facts: Mapping[str, str]
    """Facts that the run's journal must contain for the run to be resumed."""

    @classmethod
    def take(cls, plan: str, *, now: float, token: str = "", journal: str | None = None) -> Self:
        """Claim a plan for a run before sending anything; `token` is that of a resumed run.

        Raises:
            PlanCarriedOutError: another run has claimed it.
            ConfigurationError: the claim cannot be stored in the state folder.
        """
        token = token or secrets.token_hex(8)
        try:
            folder = runs_directory().parent / "plans"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, RuntimeError) as error:
            raise ConfigurationError(
                f"the state folder cannot record that this plan is being applied ({error}); set "
                f"ENAPTER_STATE_DIR to a writable folder, or use again=True (--again)"
            ) from None
        sync_directory(folder.parent)
        path = folder / plan
        claim = cls(path, {PLAN: plan, CLAIM: token})
        try:
            descriptor = open_private(path)
        except ConfigurationError:
            if not path.exists():
                raise
            claim._check()
            return claim
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        row = {CLAIM: token, "at": at, "journal": journal}
        try:
            write_durably(descriptor, json.dumps(row).encode() + b"\n")
        finally:
            os.close(descriptor)
        return claim

    def _check(self) -> None:
        try:
            row = json.loads(self.path.read_bytes())
            token, at, journal = row[CLAIM], row["at"], row["journal"]
        except (OSError, ValueError, LookupError, TypeError):
            raise PlanCarriedOutError(
                f"a run has claimed this plan, but {self.path} does not name the run; {_HOW}"
            ) from None
        if token != self.facts[CLAIM]:
            whose = "a run without a journal" if journal is None else f"the run of {journal}"
            rest = "" if journal is None else "resume that run to do what it left; "
            raise PlanCarriedOutError(
                f"{whose} claimed this plan at {at}, and may have done what is done only once: "
                f"{rest}{_HOW}"
            )

    def release(self) -> None:
        """Release the claim, because no operation of the plan was done."""
        self.path.unlink(missing_ok=True)
