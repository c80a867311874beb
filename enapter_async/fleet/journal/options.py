"""The options of a run's journal."""

import os
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.lease import COMMIT_SECONDS, LEASE_SECONDS, HoldTerms
from enapter_async.fleet.journal.postgres.address import without_password

LEAST_LEASE: Final = 0.5

AMBIGUOUS: Final = ("report", "regenerate", "skip")


def _storable(facts: Mapping[str, str]) -> dict[str, str]:
    # A file name may contain characters that UTF-8 cannot encode.
    return {key: value.encode("utf-8", "backslashreplace").decode() for key, value in facts.items()}


def _shown(path: object) -> str:
    return repr(without_password(path) if isinstance(path, str) else path)


@attrs.frozen(kw_only=True)
class JournalOptions:
    """How a run is journalled and, if its journal already exists, how the run is resumed.

    `path` is the journal's file, or a run in PostgreSQL: `postgresql://user@host/database#NAME`; no
    message shows its password. With `power` every intent is on disk before its request is
    sent, not only the intents of once-only operations; this costs up to 10 ms for each operation,
    and also applies to later sessions of the run. (In PostgreSQL it is always so.) `retry_failed`
    retries failed operations. `ambiguous` applies to once-only operations that may or may not have
    been done: "report" leaves them unknown, "regenerate" repeats them, and "skip" leaves them
    unknown and records that they are acknowledged. `accept_new_token` continues with a different
    token, after checking with up to three devices of the run that it shows the same ids and sites.
    `accept_candidates` searches for objects that an unknown once-only operation may have created,
    and accepts the object if there is exactly one. `accept_wave` continues even though the run
    stopped at a wave that did not pass (see `WaveNotPassedError`): that wave is not checked again,
    but later waves are. `lease` is the number of seconds for which a silent session keeps its run
    in PostgreSQL; then another session may take over. If a commit takes longer than
    `commit_timeout` seconds, the run stops. With `heed_stop` a run that was asked to stop is
    refused. `facts` are written into a new journal, for display.
    """

    path: str | os.PathLike[str] = attrs.field(repr=_shown)
    power: bool = False
    retry_failed: bool = False
    ambiguous: Literal["report", "regenerate", "skip"] = "report"
    accept_new_token: bool = False
    accept_wave: bool = False
    lease: float = LEASE_SECONDS
    commit_timeout: float = COMMIT_SECONDS
    heed_stop: bool = False
    accept_candidates: bool = False
    facts: Mapping[str, str] = attrs.field(factory=dict, converter=_storable)

    def __attrs_post_init__(self) -> None:
        if not self.lease >= LEAST_LEASE:
            raise ConfigurationError(f"lease is {self.lease!r}; use at least {LEAST_LEASE} s")
        if self.ambiguous not in AMBIGUOUS:
            raise ConfigurationError(
                f"ambiguous is {self.ambiguous!r}; use one of {', '.join(AMBIGUOUS)}"
            )
        if not self.commit_timeout > 0:
            raise ConfigurationError(
                f"commit_timeout is {self.commit_timeout!r}; use seconds above 0"
            )

    @property
    def terms(self) -> HoldTerms:
        """How a session holds the journal."""
        return HoldTerms(
            lease=self.lease, commit_timeout=self.commit_timeout, heed_stop=self.heed_stop
        )
