"""The API's answer to one request, without any network: tokens, paths, and the nouns.

`server` adds the network; this file is independent of sockets and aiohttp.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from enapter_async.emulator.blueprints import Blueprints
from enapter_async.emulator.commands import Commands
from enapter_async.emulator.configuration import Configuration
from enapter_async.emulator.devices import Devices
from enapter_async.emulator.log import cause_of
from enapter_async.emulator.logs import Logs
from enapter_async.emulator.provisioning import Provisioning
from enapter_async.emulator.request import Call, Noun, Request, no_endpoint
from enapter_async.emulator.rules import Rules
from enapter_async.emulator.sites import Sites
from enapter_async.emulator.state import ROLES, Refusal, Timestamps
from enapter_async.emulator.telemetry import Telemetry
from enapter_async.emulator.world import World

NounT = TypeVar("NounT", bound=Noun)

TOKEN_HEADER: Final = "X-Enapter-Auth-Token"  # noqa: S105 - a header's name

NOUNS: Final[tuple[type[Noun], ...]] = (
    *(Devices, Sites, Commands, Configuration, Provisioning),
    *(Rules, Blueprints, Logs, Telemetry),
)
"""The nouns that the emulator has; a new one is added here."""


def _shapes() -> Iterator[tuple[tuple[str, ...], type[Noun]]]:
    for noun in NOUNS:
        for path in noun.paths:
            yield tuple(f"v3/{path}".split("/")), noun
            if path.startswith("devices"):
                yield tuple(f"v3/sites/{{site_id}}/{path}".split("/")), noun


_SHAPES: Final[dict[int, list[tuple[tuple[str, ...], type[Noun]]]]] = {}
"""The existing paths by length, each with its noun; those with fewer ids come first."""

for _shape, _noun in sorted(_shapes(), key=lambda each: sum(part[0] == "{" for part in each[0])):
    _SHAPES.setdefault(len(_shape), []).append((_shape, _noun))


def parse(method: str, path: str) -> Call:
    """Split a path into its parts; it starts with `/v3`, or with `/api/v3` as on a gateway."""
    raw = path.split("/")[1:]
    segments = [unquote(each) for each in (raw[1:] if raw[:1] == ["api"] else raw)]
    for shape, noun in _SHAPES.get(len(segments), ()):
        found = list(zip(shape, segments, strict=True))
        if all(name == text for name, text in found if name[0] != "{"):
            ids = {name.strip("{}"): text for name, text in found if name[0] == "{"}
            return Call(method=method, path=path, noun=noun, ids=ids)
    return Call(method=method, path=path)


class Routes:
    """The endpoints of the API over a world.

    `tokens` maps each accepted token to its role on every device; None means the role that
    the fleet defines for each device. `timestamps` is "unix" or "rfc3339".
    """

    def __init__(
        self, world: World, *, tokens: Mapping[str, str | None], timestamps: Timestamps = "rfc3339"
    ) -> None:
        if timestamps not in ("unix", "rfc3339"):
            raise ValueError('timestamps are "unix" or "rfc3339"')
        unknown = {role for role in tokens.values() if role is not None} - set(ROLES)
        if unknown:
            raise ValueError(f"no such role: {', '.join(sorted(unknown))}")
        self._nouns: dict[type[Noun], Noun] = {noun: noun(world) for noun in NOUNS}
        self._tokens = dict(tokens)
        self._timestamps: Timestamps = timestamps

    def noun(self, kind: type[NounT]) -> NounT:
        """Return the noun of this class, to inspect its state or to set its switches."""
        found = self._nouns[kind]
        assert isinstance(found, kind)  # noqa: S101 - each is stored under its own class
        return found

    def respond(
        self,
        call: Call,
        *,
        token: str | None,
        query: Iterable[tuple[str, str]] = (),
        body: bytes,
        content_type: str = "",
    ) -> tuple[int, Any]:
        """Carry out a request; return the status and the answer: JSON, or a `Raw` one."""
        try:
            role = self.role(token)
            if call.noun is None:
                raise no_endpoint()
            request = Request(
                role=role,
                query=tuple(query),
                body=body,
                timestamps=self._timestamps,
                content_type=content_type,
            )
            noun = self._nouns[call.noun]
            if noun.world.log.keep_records and call.method != "GET":
                noun.world.log.cause = cause_of(call.method, call.path, body)
            return 200, noun.respond(call, request)
        except Refusal as refusal:
            return refusal.status, refusal.envelope()

    def role(self, token: str | None) -> str | None:
        """Return the role of a token on every device, or refuse it; None: that of the fleet."""
        if not token:
            raise _invalid_token(401, "A token is needed.")
        if token not in self._tokens:
            raise _invalid_token(403, "The token is not accepted.")
        return self._tokens[token]


def _invalid_token(status: int, message: str) -> Refusal:
    return Refusal(status, "invalid_header", message, {"header": TOKEN_HEADER})
