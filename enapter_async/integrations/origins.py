"""Whether a request comes from a page of another site, which must not act for the person there.

A browser sends cookies with requests that another site's page starts (cross-site request forgery).
It also says where a request comes from: in `Sec-Fetch-Site`, and in `Origin`, which is compared
with the host that was asked. Programs other than browsers send neither header, and no cookies that
somebody else could make use of.

Sources: Fetch Metadata Request Headers (W3C); RFC 6454, The Web Origin Concept; RFC 9110, 9.2.1.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from enapter_async.integrations.answers import TYPES, HttpAnswer

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing, and that links of other pages may use."""
_OWN: Final = frozenset({"same-origin", "none"})
"""A page of ours, or the person: an address typed, or a bookmark."""


def is_foreign(method: str, headers: Mapping[str, Any], trusted: Collection[str] = ()) -> bool:
    """Return whether a request that may change something comes from another site's page.

    `headers` is any mapping that ignores case. `trusted` are additional origins, such as
    `https://pumps.example.com` if a proxy in front replaces the Host header.
    """
    if method in SAFE_METHODS:
        return False
    origin = headers.get("Origin")
    if origin is not None and origin in trusted:
        return False
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _OWN
    # Browsers send Sec-Fetch-Site only over HTTPS, and to this machine.
    return origin is not None and _authority(origin) != headers.get("Host")


def _authority(origin: str) -> str | None:
    """Return the host and port of an origin; None for "null", which any page can send."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def foreign_answer() -> HttpAnswer:
    """Return the response to a request from another site's page."""
    problem = {
        "type": f"{TYPES}foreign-request",
        "title": "This request comes from a page of another site; nothing was done.",
        "status": 403,
    }
    return HttpAnswer(status=403, problem=problem)
