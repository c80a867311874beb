"""Checks, without I/O, of the API's address and other preconditions for sending a token."""

import asyncio
import inspect
import os
import re
import ssl
import warnings
from ipaddress import ip_address
from typing import Final

import aiohttp
from yarl import URL

from enapter_async.errors import ConfigurationError
from enapter_async.text import quoted, shortened

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")


def verification(base_url: URL, context: ssl.SSLContext | None) -> ssl.SSLContext | bool:
    """Return the TLS setting for aiohttp: the caller's context, or the default one.

    The default context writes its session keys to the file named by SSLKEYLOGFILE. If SSLKEYLOGFILE
    is set, a context that does not write the keys is created instead.
    """
    if context is not None:
        return context
    if base_url.scheme == "https" and "SSLKEYLOGFILE" in os.environ:
        context = ssl.create_default_context()
        context.keylog_filename = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]  # None clears it
        return context
    return True


def check_header_value(name: str, value: object) -> None:
    """Raise if a value is not valid in a header, without showing it."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a str, not a {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{name} is empty")
    if value != value.strip():
        raise ConfigurationError(
            f"{name} starts or ends with white space, as text from a file may; strip it"
        )
    if value[0] == value[-1] and value[0] in "\"'":
        raise ConfigurationError(f"{name} is in quotes; remove them")
    if " " in value:
        raise ConfigurationError(f"{name} contains a space; pass it alone, without 'Bearer'")
    if not _HEADER_VALUE.fullmatch(value):
        raise ConfigurationError(
            f"{name} has characters that are not allowed in an HTTP header; use only visible ASCII"
        )


def check_ssl_context(context: ssl.SSLContext) -> None:
    """Raise if a context would accept any server."""
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError(
            "ssl_context does not verify the server; for a gateway with its own CA, use "
            "ssl.create_default_context(cafile=…)"
        )
    if context.minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        raise ConfigurationError("ssl_context allows TLS below 1.2; set its minimum_version")
    if context.keylog_filename:
        warn_caller("ssl_context writes its session keys to a file (keylog_filename)")


def warn_caller(message: str, kind: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the caller's code, skipping this package's frames."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("enapter_async."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)


def check_session(session: aiohttp.ClientSession) -> None:
    """Raise if a caller's session is closed or belongs to another event loop."""
    if session.closed:
        raise ConfigurationError("the session is closed; pass an open one")
    if session._loop is not asyncio.get_running_loop():  # noqa: SLF001 - the public attribute warns
        raise ConfigurationError(
            "the session was created on another event loop; create it on the client's"
        )


def check_connector(session: aiohttp.ClientSession, base_url: URL) -> None:
    """Raise if the connector of a caller's session would accept any server."""
    verifies = getattr(session.connector, "_ssl", True)
    if base_url.scheme == "https" and verifies is False:
        raise ConfigurationError(
            "the session's connector does not verify the server (ssl=False); pass a verifying "
            "context to it or as ssl_context"
        )
    if isinstance(verifies, ssl.SSLContext):
        check_ssl_context(verifies)


def parse_base_url(text: str | URL, *, allow_insecure_http: bool) -> URL:
    """Check the address of the API, and return it without `/v3` and trailing slashes."""
    if not isinstance(text, str | URL):
        raise ConfigurationError(f"base_url is a {type(text).__name__}, not a str or a yarl.URL")
    try:
        url = URL(str(text))
    except ValueError:
        url = URL()
    # An empty or too long label would raise an obscure error in the resolver.
    labels = (url.raw_host or "").removesuffix(".").split(".")
    if url.scheme not in ("http", "https") or not all(1 <= len(each) <= 63 for each in labels):
        # The part before an "@" may be a password.
        got = "" if "@" in str(text) else f"; got {quoted(shortened(str(text), 60))}"
        raise ConfigurationError(f"base_url must be a URL such as https://api.enapter.com{got}")
    if url.raw_user is not None or url.raw_password is not None:
        raise ConfigurationError("base_url contains a user name or password; pass token=… instead")
    if url.raw_query_string or url.raw_fragment or re.search(r"[\s?#\x00-\x1f]", str(text)):
        raise ConfigurationError("base_url must have no query, fragment or white space")
    if url.scheme == "http" and not _is_loopback(url.raw_host or ""):
        if not allow_insecure_http:
            raise ConfigurationError(
                f"base_url {url} would send the token unencrypted; use https or, for a gateway on "
                f"a trusted network, allow_insecure_http=True (--allow-insecure-http)"
            )
        warn_caller(f"the token and all data are sent unencrypted to {url.host}")
    path = url.raw_path.rstrip("/").removesuffix("/v3").rstrip("/")
    return url.with_path(path, encoded=True)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
