"""What may be chosen about a run."""

import os
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from enapter_async.errors import ConfigurationError

AMBIGUOUS: Final = ("report", "regenerate", "skip")


def _storable(facts: Mapping[str, str]) -> dict[str, str]:
    # The name of a file may hold what is no UTF-8.
    return {key: value.encode("utf-8", "backslashreplace").decode() for key, value in facts.items()}


@attrs.frozen(kw_only=True)
class JournalOptions:
    """How a run is journalled and, where its journal exists, how it goes on.

    `path` is the journal's file. With `power` every intent is on the disk before its request
    is sent, not only those of operations that may be done once; it costs up to 10 ms each,
    and holds for the run's later sessions, too.
    `retry_failed` runs again what failed. `ambiguous` is about once-only operations of which
    nobody can say whether they were done: "report" leaves them unknown, "regenerate" does
    them again, "skip" leaves them unknown and takes note that somebody knows.
    `accept_new_token` goes on with another token, once three devices of the run were read
    with it and are the same. `accept_wave` goes on although the wave at which the run stopped
    did not pass (see `WaveNotPassedError`): it is not looked at any more, but what comes after
    it is. `facts` are written into a new journal, to be shown.
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
