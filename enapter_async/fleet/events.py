"""What a run tells those who watch it, besides the outcomes: frozen records."""

from collections.abc import Callable

import attrs

from enapter_async.errors import EnapterError
from enapter_async.fleet.pacing.pace import Wait


@attrs.frozen(kw_only=True)
class RunWaiting:
    """Nothing new begins until what `wait` names is over; `wait.text(now)` says it in words."""

    wait: Wait


@attrs.frozen(kw_only=True)
class RunGoesOn:
    """What was waited for is over."""


@attrs.frozen(kw_only=True)
class WaveBegan:
    """A wave begins. `number` counts from 1; `size` and `waves` are None where unknown."""

    number: int
    size: int | None = None
    waves: int | None = None


@attrs.frozen(kw_only=True)
class WavePassed:
    """A wave is over, and the next one may begin. `read_back` is how many were looked at."""

    number: int
    read_back: int = 0


@attrs.frozen(kw_only=True)
class RunStopped:
    """Nothing more is started, because of `error`; what is under way ends."""

    error: EnapterError


RunEvent = RunWaiting | RunGoesOn | WaveBegan | WavePassed | RunStopped

OnEvent = Callable[[RunEvent], None]
