"""The headers of each request: the client's own, and those added by the caller."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from enapter_async._http.message import Message
from enapter_async._http.wire import TOKEN, Wire
from enapter_async._version import __version__
from enapter_async.concealment import Secret

ExtraHeaders = Callable[[], Mapping[str, str]]
"""Called just before each request is written, in the task of its call."""

# Compiled on first use, because they are rarely needed.
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?"
_OURS: Final = ("x-enapter-", "content-", "accept", "proxy-")
_OUR_NAMES: Final = frozenset(
    ("connection", "cookie", "expect", "host", "keep-alive", "te", "trailer",
     "transfer-encoding", "upgrade", "user-agent")
)  # fmt: skip
"""Headers that identify the caller, or control the message or its connection."""

logger = logging.getLogger("enapter_async")


def own_headers(base_url: URL, token: Secret | None, user: str | None) -> dict[str, str]:
    """Return the headers that a client sends with each request.

    A gateway redirects http to https unless a header states that http is intended; whether http
    is allowed was checked with the base URL.
    """
    headers = {
        "User-Agent": f"enapter-async/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
    }
    if token is not None:
        headers[TOKEN] = token.reveal()
    if user is not None:
        headers["X-Enapter-Auth-User"] = user
    if base_url.scheme == "http":
        headers["X-Enapter-Allow-HTTP"] = "true"
    return headers


def make_wire(
    base_url: URL,
    token: Secret | None,
    user: str | None,
    *,
    extra: ExtraHeaders | None,
    wall: Callable[[], float],
) -> Wire:
    """Return the protocol of a client; `wall` returns the time in seconds since 1970."""
    headers = own_headers(base_url, token, user)
    secret = None if token is None else token.reveal()
    if extra is None:
        return Wire(base_url, headers, secret=secret, wall=wall)
    return CarryingWire(base_url, headers, extra=extra, secret=secret, wall=wall)


class CarryingWire(Wire):
    """A `Wire` that adds headers to each request, obtained just before it is written.

    It is used only if there are headers to add, so other clients do not pay for it.
    """

    def __init__(self, *arguments: Any, extra: ExtraHeaders, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._extra = extra
        self.middlewares = (self._carry,)

    def serialize(self, message: Message) -> bytes:
        """Return the bytes of a request for HTTP/1.1."""
        head, end, body = super().serialize(message).partition(b"\r\n\r\n")
        fields = "".join(f"\r\n{name}: {value}" for name, value in self.asked().items())
        return head + fields.encode("ascii") + end + body

    async def _carry(
        self, request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.update(self.asked())
        return await handler(request)

    def asked(self) -> dict[str, str]:
        """Return the extra headers; invalid ones are logged and do not affect the call."""
        try:
            asked = dict(self._extra())
        except Exception:
            logger.exception("extra_headers failed; the request is sent without extra headers")
            return {}
        good = {name: value for name, value in asked.items() if _may_be_sent(name, value)}
        if len(good) < len(asked):
            left_out = [name for name in asked if name not in good]
            logger.warning("extra_headers returned headers that cannot be sent: %r", left_out)
        return good


def _may_be_sent(name: object, value: object) -> bool:
    if not isinstance(name, str) or not isinstance(value, str):
        return False
    lower = name.lower()
    ours = lower in _OUR_NAMES or lower.startswith(_OURS)
    return not ours and bool(re.fullmatch(_NAME, name)) and bool(re.fullmatch(_VALUE, value))
