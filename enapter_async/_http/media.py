"""Requests and answers that are not JSON."""

from collections.abc import Mapping
from typing import Any, Final

from multidict import istr

from enapter_async._http.json_text import encode
from enapter_async._http.message import Message
from enapter_async.errors import ConfigurationError
from enapter_async.operation import Operation
from enapter_async.payload import Payload

CONTENT_TYPE: Final = istr("Content-Type")


def encoded(operation: Operation[Any], body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON, or raise `ConfigurationError`."""
    try:
        return encode(body)
    except (TypeError, ValueError, RecursionError):
        pass  # raised below, because their texts and contexts hold the body
    raise ConfigurationError(
        f"the body of {type(operation).__name__} cannot be written as JSON: it must map names to "
        f"text, numbers, booleans, null, lists and mappings"
    )


def special_message(
    operation: Operation[Any],
    method: str,
    target: str,
    body: Mapping[str, Any] | Payload | None,
    *,
    fresh: bool,
) -> Message:
    """Return a request whose body or answer is not JSON."""
    headers: dict[str, str] = {}
    if operation.answer.media:
        headers["Accept"] = ", ".join(operation.answer.media)
    if isinstance(body, Payload):
        headers["Content-Type"] = body.media_type
        return Message(method, target, body.data, fresh, headers)
    if body is None:
        return Message(method, target, None, fresh, headers)
    headers["Content-Type"] = "application/json"
    return Message(method, target, encoded(operation, body), fresh, headers)


def media_type_of(headers: Any) -> str:
    """Return the media type of an answer in lower case, without parameters; "" if it has none."""
    media_type: str = headers.get(CONTENT_TYPE, "")
    return media_type.partition(";")[0].strip().lower()


def is_of_media(media: tuple[str, ...], headers: Any) -> bool:
    """Return whether an answer has one of these media types, or names none."""
    media_type = media_type_of(headers)
    return not media_type or media_type in media


def unended(headers: Any) -> str:
    """Return the reason why an answer that is not JSON cannot be trusted to be whole, or "".

    A JSON object ends where its last brace is; any other body only where its head says so.
    """
    if "Content-Length" in headers or "Transfer-Encoding" in headers:
        return ""
    return "the response does not say where it ends, so a cut would go unnoticed"
