"""What may happen to a request: how each exchange goes, drawn from a seed's mixture of faults.

Times are seconds. A `Course` is decided before the request is sent; the API's answer depends on the
state of the world when the request is done.
"""

import random
from collections.abc import Mapping
from typing import Any, Final

import attrs

from tests.simulation.world import Asked

LATEST_EFFECT: Final = 300.0
OLDEST_READ: Final = 30.0


@attrs.frozen
class Said:
    """An answer that is not the API's honest answer to the request."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    json: Mapping[str, Any] | None = None
    text: str = ""


@attrs.frozen(kw_only=True)
class Course:
    """How one exchange goes.

    If there is no connection, `unsent` names the reason, which occurs after `connect` seconds.
    Otherwise, all times count from the sending: the request arrives after `trip` seconds and is
    done `works` seconds later (None: never); after `heard` seconds (None: never) the client
    receives the API's answer, or `said`, or with `dies` the end of the connection. `cut` loses the
    answer's body, `empty` omits it, `other` answers about another device. `lag` is the age of the
    state that a read shows. With `twice`, a proxy passes the request to a second server, whose
    answer the client receives.
    """

    name: str = "good"
    connect: float = 0.0
    unsent: str = ""
    trip: float = 0.01
    works: float | None = 0.0
    heard: float | None = 0.02
    said: Said | None = None
    dies: bool = False
    cut: bool = False
    empty: bool = False
    other: bool = False
    twice: bool = False
    lag: float = 0.0


FATES: Final = (
    "unsent",
    "lost",
    "silent",
    "slow",
    "throttled",
    "busy",
    "failed",
    "refused",
    "again",
    "cut",
    "empty",
    "portal",
    "proxy404",
    "other",
    "twice",
    "stale",
)
PAIRS: Final = (
    ("lost", "refused"),
    ("lost", "proxy404"),
    ("failed", "unsent"),
    ("failed", "proxy404"),
    ("silent", "throttled"),
    ("twice", "cut"),
    ("busy", "lost"),
    ("refused", "stale"),
    ("other", "again"),
)
"""Pairs of faults that are most likely to be confused if one follows the other."""

UNSENT: Final = ("refused", "dns", "timeout", "tls", "disconnected")


@attrs.frozen(kw_only=True)
class Spell:
    """A period in which nearly all requests fare alike: "down", "partition" or "throttled"."""

    kind: str
    start: float
    end: float


@attrs.frozen(kw_only=True)
class Weather:
    """How often each fault occurs: `trouble` is the share of requests with any fault."""

    trouble: float = 0.0
    weights: Mapping[str, float] = attrs.field(factory=dict)
    spells: tuple[Spell, ...] = ()
    latency: float = 0.05

    def course(self, chance: random.Random, asked: Asked, now: float) -> Course:
        """Draw how a request that starts now goes."""
        trip = chance.uniform(0.001, self.latency)
        back = chance.uniform(0.001, self.latency)
        plain = Course(trip=trip, heard=trip + back)
        for spell in self.spells:
            if spell.start <= now < spell.end:
                return _under(spell, plain, chance, now)
        if not self.weights or chance.random() >= self.trouble:
            return plain
        fate = chance.choices(list(self.weights), list(self.weights.values()))[0]
        drawn: Course = getattr(_Fate(plain, chance, asked), fate)()
        return drawn

    def is_down(self, now: float) -> bool:
        return any(s.start <= now < s.end for s in self.spells if s.kind != "throttled")


CALM: Final = Weather()


def draw(chance: random.Random, *, start: float, length: float) -> Weather:
    """Draw a mixture of faults, and a few spells within some length of time."""
    kinds = chance.sample(FATES, chance.randint(1, 7))
    trouble = chance.choice((0.02, 0.1, 0.3, 0.3, 0.6, 0.9))
    if chance.random() < 0.5:
        kinds = list(chance.choice(PAIRS))
        trouble = chance.choice((0.5, 0.8))
    spells = []
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        began = start + chance.uniform(0.0, length)
        kind = chance.choice(("down", "partition", "throttled"))
        lasts = chance.choice((0.5, 3.0, 20.0, 90.0, 400.0)) * chance.uniform(0.5, 2.0)
        spells.append(Spell(kind=kind, start=began, end=began + lasts))
    return Weather(
        trouble=trouble,
        weights={kind: chance.uniform(0.2, 2.0) for kind in kinds},
        spells=tuple(spells),
        latency=chance.choice((0.01, 0.05, 0.5, 3.0)),
    )


def _under(spell: Spell, plain: Course, chance: random.Random, now: float) -> Course:
    if spell.kind == "down":
        return attrs.evolve(plain, name="host down", unsent="refused", connect=0.002)
    if spell.kind == "throttled":
        left = spell.end - now
        header = (("Retry-After", str(int(left) + 1)),)
        said = Said(429, header if chance.random() < 0.7 else (), {"errors": []})
        return attrs.evolve(plain, name="throttled", works=None, said=said)
    if chance.random() < 0.5:
        return attrs.evolve(plain, name="partition", unsent="timeout", connect=1e6)
    # Over a connection that was open: the bytes wait in some buffer, and may still arrive.
    arrives = spell.end - now + chance.uniform(0.0, 5.0)
    works = 0.0 if chance.random() < 0.5 else None
    return attrs.evolve(plain, name="partition", trip=arrives, works=works, heard=None)


def _maybe_done(chance: random.Random) -> float | None:
    """Draw when a request with an untrustworthy answer is done: now, later, or never."""
    if chance.random() < 0.3:
        return None
    return 0.0 if chance.random() < 0.5 else chance.uniform(0.0, LATEST_EFFECT)


def _late(works: float | None) -> str:
    if works is None:
        return ", not done"
    return f", done {works:.1f} s later" if works else ", done"


@attrs.frozen
class _Fate:
    """Draws how one request fares; each method is named after its fault."""

    plain: Course
    chance: random.Random
    asked: Asked

    def unsent(self) -> Course:
        why = self.chance.choices(UNSENT, (4, 1, 2, 1, 2))[0]
        seconds = 1e6 if why == "timeout" else self.chance.uniform(0.0, 1.0)
        return attrs.evolve(self.plain, name=f"unsent ({why})", unsent=why, connect=seconds)

    def lost(self) -> Course:
        works = _maybe_done(self.chance)
        return attrs.evolve(self.plain, name=f"lost{_late(works)}", works=works, dies=True)

    def silent(self) -> Course:
        works = _maybe_done(self.chance)
        return attrs.evolve(self.plain, name=f"silent{_late(works)}", works=works, heard=None)

    def slow(self) -> Course:
        works = self.chance.uniform(0.0, 40.0)
        heard = self.plain.trip + works + self.chance.uniform(0.0, 3.0)
        return attrs.evolve(self.plain, name="slow", works=works, heard=heard)

    def throttled(self) -> Course:
        wait = self.chance.choice(("", "0", "1", "3", "17", "100", "3600", "soon"))
        headers: tuple[tuple[str, str], ...] = (("Retry-After", wait),) if wait else ()
        if self.chance.random() < 0.3:
            # A date is relative to the server's own clock, whatever ours says.
            headers = (
                ("Date", "Tue, 01 Jul 2025 10:00:00 GMT"),
                ("Retry-After", "Tue, 01 Jul 2025 10:00:09 GMT"),
            )
        html = self.chance.random() < 0.3
        said = Said(429, headers, None if html else {"errors": []}, "<html>" if html else "")
        return attrs.evolve(self.plain, name="throttled", works=None, said=said)

    def busy(self) -> Course:
        wait = self.chance.choice(("1", "2", "9"))
        said = Said(503, (("Retry-After", wait),), {"errors": [{"code": "busy"}]})
        return attrs.evolve(self.plain, name="busy", works=None, said=said)

    def failed(self) -> Course:
        status = self.chance.choice((500, 502, 503, 504, 520, 408))
        html = status != 500
        json = None if html else {"errors": [{"code": "internal"}]}
        works = _maybe_done(self.chance)
        return attrs.evolve(
            self.plain,
            name=f"failed {status}{_late(works)}",
            works=works,
            said=Said(status, (), json, "<html>" if html else ""),
        )

    def refused(self) -> Course:
        statuses, weights = (400, 403, 409, 422, 401, 307), (3, 3, 3, 3, 0.3, 0.5)
        status = self.chance.choices(statuses, weights)[0]
        said = Said(status, (), {"errors": [{"code": "no", "message": "no"}]})
        return attrs.evolve(self.plain, name=f"refused {status}", works=None, said=said)

    def again(self) -> Course:
        return attrs.evolve(self.plain, name="again 425", works=None, said=Said(425, (), {}))

    def cut(self) -> Course:
        return attrs.evolve(self.plain, name="cut", cut=True)

    def empty(self) -> Course:
        return attrs.evolve(self.plain, name="empty", empty=True)

    def portal(self) -> Course:
        works = _maybe_done(self.chance)
        said = Said(200, (), None, "<html>please log in</html>")
        return attrs.evolve(self.plain, name=f"portal{_late(works)}", works=works, said=said)

    def proxy404(self) -> Course:
        said = Said(404, (), None, "<html>nothing here</html>")
        return attrs.evolve(self.plain, name="a proxy's 404", works=None, said=said)

    def other(self) -> Course:
        if (
            self.asked.verb not in ("get", "update", "assign_blueprint")
            or len(self.asked.address) != 36
        ):
            return self.plain  # if no id was requested or none is returned, nobody could notice
        return attrs.evolve(
            self.plain, name="about another", other=True, works=_maybe_done(self.chance)
        )

    def twice(self) -> Course:
        # nginx does so with a deletion, but never with a PATCH or POST.
        return (
            attrs.evolve(self.plain, name="twice", twice=True)
            if self.asked.verb == "delete"
            else self.plain
        )

    def stale(self) -> Course:
        if self.asked.writes:
            return self.plain
        lag = self.chance.uniform(0.0, OLDEST_READ)
        return attrs.evolve(self.plain, name=f"stale by {lag:.1f} s", lag=lag)
