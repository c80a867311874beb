"""The body of a request that is not JSON."""

import attrs


@attrs.frozen
class Payload:
    """The bytes of a request's body and their media type; the bytes are never shown."""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    media_type: str
