"""The cost of reading one device or a page of 50, compared with msgspec and the official SDK.

    python -m benchmarks.decode

All read the same bytes, in turn, in one process. msgspec is the limit: it creates C structs
straight from the text. "Structured" starts from parsed JSON.
"""

import argparse
import contextlib
import enum
import gc
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Final

import attrs
import cattrs

from benchmarks.figures import Spread, Verdict, spread
from benchmarks.parts import begin, command_line, finish
from benchmarks.report import Section, Table, shown
from benchmarks.server import answer_template
from enapter_async._http.json_text import decode_plainly
from enapter_async.converter import structurer
from enapter_async.models.devices import AccessRole, Device, DeviceType

PAGE: Final = 50
ROUNDS: Final = 15
BLOCK_SECONDS: Final = 0.03
LIMIT: Final = 1.5

Read = Callable[[], object]


@attrs.frozen(kw_only=True)
class Way:
    """One way to read the same answer; `group` is its table."""

    group: str
    name: str
    read: Read


def one_device() -> dict[str, Any]:
    """Return the API page's example."""
    found: dict[str, Any] = json.loads(answer_template(_device_id(0)))
    return found


def page() -> dict[str, Any]:
    """Return 50 different devices, as a list returns them."""
    pattern = one_device()["device"]
    devices = [
        {**pattern, "id": _device_id(number), "name": f"Pump {number}", "slug": f"pump-{number}"}
        for number in range(PAGE)
    ]
    return {"devices": devices, "total_count": PAGE}


def ways() -> list[Way]:
    """Return all ways that are available here."""
    found: list[Way] = []
    page_of = tuple[Device, ...]
    for group, value, key, kind in (
        ("one device", one_device(), "device", Device),
        (f"page of {PAGE}", page(), "devices", page_of),
    ):
        text = json.dumps(value, separators=(",", ":")).encode()
        found += _ours(group, value[key], text, key, kind)
        found += _lenient(group, value[key], kind)
        found += _official(group, value[key], text, key)
        found += _msgspec(group, text)
    return found


def measure(
    those: Sequence[Way], *, rounds: int, block_seconds: float = BLOCK_SECONDS
) -> dict[tuple[str, str], list[float]]:
    """Return microseconds per reading, by group and name, one value for each round."""
    counts = {way: _count(way.read, block_seconds) for way in those}
    found: dict[tuple[str, str], list[float]] = {(way.group, way.name): [] for way in those}
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    for _ in range(rounds):
        gc.collect()
        for way in chance.sample(those, len(those)):
            seconds = _time(way.read, counts[way])
            found[way.group, way.name].append(1e6 * seconds / counts[way])
    return found


def section(found: dict[tuple[str, str], list[float]], missing: Sequence[str]) -> Section:
    """Summarize the measurements."""
    groups = list(dict.fromkeys(group for group, _ in found))
    return Section(
        name="decode",
        title="Reading an answer",
        lead=(
            "Microseconds of CPU for the same bytes, in one process and in turn; medians of "
            f"{max(map(len, found.values()))} rounds. msgspec is the limit."
        ),
        tables=tuple(
            Table(
                title=group[0].upper() + group[1:],
                headings=("", "µs (min-max)"),
                rows=tuple(
                    (name, shown(summed))
                    for (own, name), values in found.items()
                    if own == group and (summed := spread(values)) is not None
                ),
            )
            for group in groups
        ),
        verdicts=(
            Verdict(
                what=f"page of {PAGE} structured / the official SDK's from_dto",
                found=_against(found, f"page of {PAGE}", "this SDK", "official from_dto"),
                bound=LIMIT,
                at_most=True,
            ),
        ),
        notes=tuple(f"{name} left out: not installed" for name in missing),
        data={f"{group}: {name}": values for (group, name), values in found.items()},
    )


def run(*, rounds: int = ROUNDS) -> Section:
    """Measure and summarize."""
    missing = [name for name in ("enapter", "orjson", "msgspec") if find_spec(name) is None]
    return section(measure(ways(), rounds=rounds), missing)


def _against(
    found: dict[tuple[str, str], list[float]], group: str, ours: str, theirs: str
) -> Spread | None:
    pairs = zip(
        found.get((group, f"structured: {ours}"), ()),
        found.get((group, f"structured: {theirs}"), ()),
        strict=False,
    )
    return spread(mine / other for mine, other in pairs)


def _ours(group: str, value: Any, text: bytes, key: str, kind: Any) -> Iterator[Way]:
    structured = structurer(kind)
    yield Way(group=group, name="structured: this SDK", read=lambda: structured(value))
    yield Way(
        group=group,
        name="from bytes: this SDK",
        read=lambda: structured(decode_plainly(text)[key]),
    )
    with contextlib.suppress(ImportError):
        import orjson

        yield Way(
            group=group,
            name="from bytes: this SDK, orjson",
            read=lambda: structured(orjson.loads(text)[key]),
        )


def _lenient(group: str, value: Any, kind: Any) -> Iterator[Way]:
    """Read the same classes with plain cattrs: what do our checks cost?"""
    converter = lenient_converter()
    yield Way(
        group=group,
        name="structured: the same classes, cattrs without our rules",
        read=lambda: converter.structure(value, kind),
    )


def lenient_converter() -> cattrs.Converter:
    """Return a converter that checks nothing: text is coerced, enumerations stay as they are."""
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    for kind in (DeviceType, AccessRole):
        converter.register_structure_hook(kind, lambda value, kind: kind(value))
    return converter


def _official(group: str, value: Any, text: bytes, key: str) -> Iterator[Way]:
    with contextlib.suppress(ImportError):
        from enapter.http.api.devices import Device as Theirs

        def made(data: Any) -> Any:
            if isinstance(data, list):
                return [Theirs.from_dto(each) for each in data]
            return Theirs.from_dto(data)

        yield Way(group=group, name="structured: official from_dto", read=lambda: made(value))
        yield Way(
            group=group,
            name="from bytes: official from_dto",
            read=lambda: made(json.loads(text)[key]),
        )
        import orjson

        yield Way(
            group=group,
            name="from bytes: official from_dto, orjson",
            read=lambda: made(orjson.loads(text)[key]),
        )


def _msgspec(group: str, text: bytes) -> Iterator[Way]:
    with contextlib.suppress(ImportError):
        import msgspec

        kinds = enum.Enum("kinds", {"LUA": "LUA"})
        roles = enum.Enum("roles", {"INSTALLER": "INSTALLER"})
        device = msgspec.defstruct(
            "device",
            [
                *((name, str) for name in ("id", "blueprint_id", "name", "site_id", "slug")),
                ("updated_at", datetime),
                ("type", kinds),
                ("authorized_role", roles),
            ],
            frozen=True,
        )
        answer = msgspec.defstruct("answer", [("device", device)])
        answers = msgspec.defstruct("answers", [("devices", list[device])])  # type: ignore[valid-type]  # made at run time, so that msgspec may be missing
        decoder = msgspec.json.Decoder(answer if group == "one device" else answers)
        yield Way(group=group, name="from bytes: msgspec", read=lambda: decoder.decode(text))


def _device_id(number: int) -> str:
    return f"5eba0000-45f2-4e9e-a6f0-{number:012x}"


def _count(read: Read, seconds: float) -> int:
    count = 1
    while (took := _time(read, count)) < seconds / 4:
        count *= 2
    return max(1, round(count * seconds / took))


def _time(read: Read, count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        read()
    return time.process_time() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("decode", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options: argparse.Namespace = parser.parse_args(arguments)
    return finish(run(rounds=options.rounds), options)


if __name__ == "__main__":
    begin(main)
