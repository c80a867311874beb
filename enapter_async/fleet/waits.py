"""What a whole run may wait for, in words."""

import enum

import attrs


class Reason(enum.StrEnum):
    """What a run waits for. Equal to its own text."""

    THROTTLED = "throttled"
    """The server refuses everything for now."""
    RETRIES = "retries"
    """Too much had to be tried again of late."""
    HOST_DOWN = "host down"
    """The host does not answer."""
    READ_BACK = "read back"
    """A wave is read back."""
    HOLD = "hold"
    """The time between two waves."""
    HEALTH = "health"
    """The devices of a wave are looked at."""


@attrs.frozen(kw_only=True)
class Wait:
    """What a run waits for: since when and until when (monotonic; None: unknown).

    `detail` says more, as people read it.
    """

    reason: Reason
    since: float
    until: float | None = None
    detail: str = ""

    def text(self, now: float) -> str:
        """Write it for people, such as "paused 0:42, no connection, next probe in 0:18"."""
        parts = [f"paused {minutes(now - self.since)}", self.detail or str(self.reason)]
        if self.until is not None and self.until > now:
            what = "next probe" if self.reason is Reason.HOST_DOWN else "on again"
            parts.append(f"{what} in {minutes(self.until - now)}")
        return ", ".join(parts)


def minutes(seconds: float) -> str:
    """Write seconds as minutes and seconds, or hours, minutes and seconds."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    if hours:
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{rest // 60}:{rest % 60:02d}"
