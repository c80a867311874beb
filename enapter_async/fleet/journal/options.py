"""The options of a run's journal."""

import os
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from enapter_async.errors import ConfigurationError

AMBIGUOUS: Final = ("report", "regenerate", "skip")


def _storable(facts: Mapping[str, str]) -> dict[str, str]:
    # A file name may contain characters that UTF-8 cannot encode.
    return {key: value.encode("utf-8", "backslashreplace").decode() for key, value in facts.items()}


@attrs.frozen(kw_only=True)
class JournalOptions:
    """How a run is journalled and, if its journal already exists, how the run is resumed.

    `path` is the journal's file. With `power` every intent is on disk before its request is sent,
    not only the intents of once-only operations; this costs up to 10 ms for each operation, and
    also applies to later sessions of the run. `retry_failed` retries failed operations. `ambiguous`
    applies to once-only operations that may or may not have been done: "report" leaves them
    unknown, "regenerate" repeats them, and "skip" leaves them unknown and records that they are
    acknowledged. `accept_new_token` continues with a different token, after checking that it shows
    up to three devices of the run unchanged in id and site. `accept_wave` continues although the
    wave at which the run stopped did not pass (see `WaveNotPassedError`): that wave is not checked
    again, but later waves are. `facts` are written into a new journal, for display.
    """

    path: str | os.PathLike[str]
    power: bool = False
    retry_failed: bool = False
    ambiguous: Literal["report", "regenerate", "skip"] = "report"
    accept_new_token: bool = False
    accept_wave: bool = False
    facts: Mapping[str, str] = attrs.field(factory=dict, converter=_storable)

    def __attrs_post_init__(self) -> None:
        if self.ambiguous not in AMBIGUOUS:
            raise ConfigurationError(
                f"ambiguous is {self.ambiguous!r}; give one of {', '.join(AMBIGUOUS)}"
            )
