"""What a command passes on to the library, and how it ends."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from click.testing import Result

from enapter_async.emulator import World
from enapter_async.fleet.options import RunOptions

_NEEDED: Final = re.compile(r"warning: |cannot be undone: |enapter-async: |\d\d:\d\d:\d\d\.\d+ ")


@attrs.define
class Seen:
    """What a command passed on, how it ended, and its folder."""

    world: World
    places: Mapping[str, str] = attrs.field(factory=dict)
    client: dict[str, Any] = attrs.field(factory=dict)
    run: RunOptions | None = None
    values: dict[str, Any] = attrs.field(factory=dict)
    result: Result | None = None

    @property
    def ended(self) -> Result:
        assert self.result is not None
        return self.result

    @property
    def out(self) -> str:
        return self.ended.stdout

    @property
    def said(self) -> str:
        return self.ended.stderr

    @property
    def code(self) -> int:
        return self.ended.exit_code

    def file(self, name: str, encoding: str = "utf-8") -> str:
        return Path(self.places["folder"], name).read_text(encoding)

    def said_nothing(self) -> bool:
        """Return whether standard error has only warnings, errors and the lines of the log."""
        return all(_NEEDED.match(line) for line in self.said.splitlines())

    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def asked_proxy(seen: Seen) -> object:
    """Return the requested proxy; `doctor` resolves it itself."""
    if "examine" in seen.values:
        return seen.values["examine"][0].proxy.value
    return seen.client["proxy"]


def most_at_once(seen: Seen) -> object:
    """Return the highest rate; a worker has a limiter for all of its jobs."""
    limiter = seen.client.get("limiter")
    return seen.client["pacing"].max_rate if limiter is None else limiter.pace().rate
