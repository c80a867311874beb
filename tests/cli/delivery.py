"""Delivers operations to an emulator without any network, as a server that carries them out."""

import json
from typing import Any

from enapter_async.emulator import Emulator
from enapter_async.emulator.routes import parse
from enapter_async.operation import Operation


def deliver(emulator: Emulator, operation: Operation[Any]) -> None:
    """Let the emulator carry out an operation's request."""
    parts = operation.request()
    call = parse(parts.method, "/".join(("", "v3", *parts.path)))
    body = b"" if parts.body is None else json.dumps(parts.body).encode()
    status, answer = emulator._routes.respond(call, token=emulator.token, body=body)
    assert status == 200, answer
