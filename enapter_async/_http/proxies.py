"""The proxy that a client uses: a given one, or the environment's if requested."""

import urllib.request
from collections.abc import Mapping
from typing import Final

from yarl import URL

from enapter_async.errors import ConfigurationError

ENVIRONMENT: Final = "environment"
"""Used instead of a proxy's address to select the proxy named by the environment."""


def parse_proxy(text: str | URL) -> URL:
    """Check a proxy's address; errors do not show a user or password in it."""
    try:
        url = URL(str(text))
    except ValueError:
        url = URL()
    if url.scheme.startswith("socks"):
        raise ConfigurationError(
            "proxy is a SOCKS proxy; pass your own session with a connector that supports SOCKS"
        )
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ConfigurationError(
            f"proxy must be a URL such as http://proxy.example:3128, or {ENVIRONMENT!r}"
        )
    if url.raw_path not in ("", "/") or url.raw_query_string or url.raw_fragment:
        raise ConfigurationError("proxy must have no path, query or fragment")
    return url


def named_proxy(base_url: URL, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the variable that names a proxy for a host, and its value, as curl reads them.

    Return None if there is none, or if NO_PROXY names the host. `HTTP_PROXY` in capitals is
    ignored in a CGI program, because a request's header would set it.
    """
    variables = [f"{base_url.scheme}_proxy", f"{base_url.scheme}_proxy".upper()]
    if "REQUEST_METHOD" in environ and base_url.scheme == "http":
        variables.pop()
    found = next((name for name in (*variables, "all_proxy", "ALL_PROXY") if environ.get(name)), "")
    bypass = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    host = f"{base_url.host}:{base_url.port}"
    if not found or urllib.request.proxy_bypass_environment(host, {"no": bypass}):  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # typeshed defines it for only one platform
        return None
    return found, environ[found]


def chosen_proxy(asked: str | URL, base_url: URL, environ: Mapping[str, str]) -> URL | None:
    """Return the requested proxy, or None if the environment names no proxy for the host."""
    if str(asked) != ENVIRONMENT:
        return parse_proxy(asked)
    named = named_proxy(base_url, environ)
    if named is None:
        return None
    variable, value = named
    try:
        # Without a scheme it is http, as in curl and most other programs.
        return parse_proxy(value if "://" in value else f"http://{value}")
    except ConfigurationError as error:
        reason = str(error).removeprefix("proxy ")
    raise ConfigurationError(f"{variable} {reason}")


def shown_proxy(asked: str | URL) -> str:
    """Return a proxy's address without user and password, so that it may be shown."""
    try:
        return ENVIRONMENT if asked == ENVIRONMENT else str(URL(str(asked)).with_user(None))
    except ValueError:
        return "not an address"
