"""Defines the reasons for which a whole run may wait, and describes them for people."""

import enum

import attrs


class Reason(enum.StrEnum):
    """Why a run waits. Each member equals its text."""

    THROTTLED = "throttled"
    """The server refuses everything for now."""
    RETRIES = "retries"
    """Too many requests had to be retried recently."""
    HOST_DOWN = "host down"
    """The host does not answer."""
    READ_BACK = "read back"
    """The devices of a wave are read back."""
    HOLD = "hold"
    """The time between two waves."""
    HEALTH = "health"
    """The health of a wave's devices is checked."""
    DRIFT = "drift"
    """The devices of a wave are compared with the plan."""

    @property
    def reads(self) -> bool:
        """Whether the run reads devices in the meantime, and is not paused."""
        return self in (Reason.READ_BACK, Reason.HEALTH, Reason.DRIFT)


@attrs.frozen(kw_only=True)
class Wait:
    """A wait of a run: its reason, start and end in monotonic time; an unknown end is None.

    `detail` is a description for people.
    """

    reason: Reason
    since: float
    until: float | None = None
    detail: str = ""

    def text(self, now: float) -> str:
        """Describe the wait, for example "paused 0:42, no connection, next probe in 0:18"."""
        what = self.detail or str(self.reason)
        time = minutes(now - self.since)
        if self.reason.reads:
            return what if time == "0:00" else f"{what}, {time}"
        parts = [f"paused {time}", what]
        if self.until is not None and self.until > now:
            what = "next probe" if self.reason is Reason.HOST_DOWN else "on again"
            parts.append(f"{what} in {minutes(self.until - now)}")
        return ", ".join(parts)


def minutes(seconds: float) -> str:
    """Format seconds as minutes and seconds, or hours, minutes and seconds."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    if hours:
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{rest // 60}:{rest % 60:02d}"
