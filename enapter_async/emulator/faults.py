"""Faults that the emulator injects into requests, scripted or random with a seed."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final

import attrs


@attrs.frozen(kw_only=True)
class Latency:
    """The request is answered normally after `seconds`.

    The request is carried out even if the client has disconnected by then.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class TooManyRequests:
    """429, and nothing is done.

    Without `retry_after` the answer is HTML without that header, as nginx sends it. With it,
    the answer has the API's envelope, and Retry-After holds those seconds or, with `as_date`,
    the date that far from now.
    """

    after_effect: ClassVar[bool] = False
    retry_after: int | None = None
    as_date: bool = False


def _check_status(_: Any, __: Any, value: int) -> None:
    if not 500 <= value <= 599:
        raise ValueError("the status of a server failure must be from 500 to 599")


@attrs.frozen(kw_only=True)
class ServerFailure:
    """A 5xx with a proxy's HTML, before or after the request is carried out.

    With `retry_after` (seconds) it has Retry-After and the API's envelope instead of HTML.
    """

    status: int = attrs.field(default=502, validator=_check_status)
    after_effect: bool = False
    retry_after: int | None = None


@attrs.frozen(kw_only=True)
class Drop:
    """The connection ends without an answer (FIN, or RST with `reset`).

    The request was read completely, and carried out if `after_effect`.
    """

    after_effect: bool = False
    reset: bool = False


def _check_keep(_: Any, __: Any, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise ValueError("keep must be at least 0 and less than 1")


@attrs.frozen(kw_only=True)
class Truncate:
    """The request is carried out, and its answer is cut off in the middle of the body.

    Content-Length is the length of the whole body, of which the fraction `keep` is sent.
    """

    after_effect: ClassVar[bool] = True
    keep: float = attrs.field(default=0.5, validator=_check_keep)


@attrs.frozen(kw_only=True)
class WrongJSON:
    """The request is carried out, and answered with 200 and `body`, by default invalid JSON."""

    after_effect: ClassVar[bool] = True
    body: bytes = b'{"device": {"id": '


@attrs.frozen(kw_only=True)
class Hang:
    """No answer is sent until the client disconnects; the request is optionally carried out."""

    after_effect: bool = False


@attrs.frozen(kw_only=True)
class Reply:
    """Any given answer, such as a redirect, or the HTML of a captive portal with status 200."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    after_effect: bool = False


Fault = Latency | TooManyRequests | ServerFailure | Drop | Truncate | WrongJSON | Hang | Reply


@attrs.frozen(kw_only=True)
class Target:
    """One request, by which a fault is chosen.

    `path` is as sent, without the query; `device` is the id or slug in the path if it
    addresses a device, and `device_id` the id of that device, if it exists. `body` is the
    request's body.
    """

    method: str
    path: str
    device: str | None = None
    device_id: str | None = None
    body: bytes = b""


@attrs.define(kw_only=True, eq=False)
class Rule:
    """A fault for the next `times` requests that match (None: for all from now on)."""

    fault: Fault
    times: int | None = 1
    method: str | None = None
    path: str | None = None
    device: str | None = None
    when: Callable[[Target], bool] | None = None
    met: int = 0

    def matches(self, target: Target) -> bool:
        """Return whether the rule applies to this request."""
        return (
            (self.method is None or self.method == target.method)
            and (self.path is None or fnmatchcase(target.path, self.path))
            and (self.device is None or self.device in (target.device, target.device_id))
            and (self.when is None or self.when(target))
        )

    @property
    def spent(self) -> bool:
        """Whether the rule has been applied `times` times."""
        return self.times is not None and self.met >= self.times


ROUGH: Final[tuple[Fault, ...]] = (
    Latency(seconds=0.02),
    TooManyRequests(),
    TooManyRequests(retry_after=1),
    ServerFailure(status=502),
    ServerFailure(status=502, after_effect=True),
    ServerFailure(status=503),
    ServerFailure(status=504, after_effect=True),
    Drop(),
    Drop(after_effect=True),
    Drop(after_effect=True, reset=True),
    Truncate(),
)
"""The faults of a bad network, which a long job will encounter sooner or later."""


def _kinds(kinds: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(kinds)


def _methods(methods: Iterable[str] | None) -> frozenset[str] | None:
    return None if methods is None else frozenset(methods)


def _check_rate(_: Any, __: Any, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError("the rate of faults must be from 0 to 1")


def _check_kinds(_: Any, __: Any, value: tuple[Fault, ...]) -> None:
    if not value:
        raise ValueError("a fault profile needs at least one kind of fault")


@attrs.frozen(kw_only=True)
class FaultProfile:
    """Random faults with a seed: each request gets one of `kinds` with probability `rate`.

    The choice depends on the seed, the method, the path and the number of earlier requests with
    this method and path. So it is the same in each run, regardless of the order of requests. A kind
    listed twice in `kinds` is twice as frequent. `methods` limits faults to some methods;
    `most_per_path` is the maximum number of faults for a method and path, so that a client that
    keeps trying succeeds.
    """

    rate: float = attrs.field(validator=_check_rate)
    kinds: tuple[Fault, ...] = attrs.field(default=ROUGH, converter=_kinds, validator=_check_kinds)
    seed: int = 1
    methods: frozenset[str] | None = attrs.field(default=None, converter=_methods)
    most_per_path: int | None = None

    def draw(self, target: Target, asked_before: int) -> Fault | None:
        """Return the fault of a request, or None; the result depends only on the arguments."""
        if self.methods is not None and target.method not in self.methods:
            return None
        key = f"{self.seed}/{target.method}/{target.path}/{asked_before}"
        chance = hashlib.blake2b(key.encode(), digest_size=16).digest()
        if int.from_bytes(chance[:8], "big") >= self.rate * 2**64:
            return None
        return self.kinds[int.from_bytes(chance[8:], "big") % len(self.kinds)]


class Faults:
    """The faults of an emulator; they may be changed while it runs.

    The script takes precedence: the first rule that matches a request and is not spent
    determines the fault. If there is none, the profile does.
    """

    def __init__(self, profile: FaultProfile | None = None, script: Iterable[Fault] = ()) -> None:
        self._profile = profile
        self._rules: deque[Rule] = deque()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._drawn: Counter[tuple[str, str]] = Counter()
        self.add(*script)

    def add(
        self,
        *faults: Fault,
        method: str | None = None,
        path: str | None = None,
        device: str | None = None,
        when: Callable[[Target], bool] | None = None,
        times: int | None = 1,
    ) -> tuple[Rule, ...]:
        """Add faults for the next matching requests, one after another, each `times` times.

        `path` is the path as sent, or a pattern such as `*/generate_config`; `device` an id
        or a slug; `when` a predicate on the request. `times=None` means without limit.
        """
        if times is not None and times < 1:
            raise ValueError("times must be at least 1")
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"{fault!r} is not a fault, such as Drop() or Hang()")
        method = None if method is None else method.upper()
        rules = tuple(
            Rule(fault=fault, times=times, method=method, path=path, device=device, when=when)
            for fault in faults
        )
        self._rules.extend(rules)
        return rules

    @property
    def profile(self) -> FaultProfile | None:
        """The profile of random faults, or None."""
        return self._profile

    @profile.setter
    def profile(self, profile: FaultProfile | None) -> None:
        self._profile = profile
        self._asked.clear()
        self._drawn.clear()

    @property
    def pending(self) -> tuple[Rule, ...]:
        """The rules of the script that are not spent."""
        return tuple(self._rules)

    def clear(self) -> None:
        """Remove all faults, both the script and the profile."""
        self._rules.clear()
        self.profile = None

    def pick(self, target: Target) -> Fault | None:
        """Return the fault to inject into this request and count it, or return None."""
        for rule in self._rules:
            if rule.matches(target):
                rule.met += 1
                if rule.spent:
                    self._rules.remove(rule)
                return rule.fault
        if self._profile is None:
            return None
        key = (target.method, target.path)
        most = self._profile.most_per_path
        if most is not None and self._drawn[key] >= most:
            return None
        fault = self._profile.draw(target, self._asked[key])
        self._asked[key] += 1
        if fault is not None:
            self._drawn[key] += 1
        return fault
