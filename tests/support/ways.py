"""The ways of running a fault test: on either event loop, with either JSON library.

A folder whose `conftest.py` imports the two functions of this module runs each of its tests in
every way; the test's id names the way, as in `test_row01_…[uvloop-stdlib-direct]`.

The main run uses two of the eight ways (loop, JSON library, transport), which together cover each
of the six choices; the others have the marker `other_way`, and `pytest -m "not lowest"` runs them,
too. A test that can fail only in one of the others, for example because of a socket's state on
uvloop, has the marker `every_way`.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import pytest

from enapter_async._http import envelope, json_text, media, wire

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def uvloop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
    return loop


LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
if importlib.util.find_spec("uvloop") is not None:
    # A factory that skips instead would break every asynchronous test after it.
    LOOPS = {**LOOPS, "uvloop": uvloop}


def pytest_asyncio_loop_factories() -> Mapping[str, LoopFactory]:
    """Run each asynchronous test on both event loops."""
    return LOOPS


MAIN_WAYS: Final = (
    {"_asyncio_loop_factory": asyncio.new_event_loop, "json_library": "orjson"}
    | {"transport": "direct"},
    {"_asyncio_loop_factory": uvloop, "json_library": "stdlib", "transport": "session"},
)
"""The two ways of the main run, by parameter name and value."""

OWN_LOOP_WAYS: Final = (
    {"loop": "asyncio", "kind": "direct"},
    {"loop": "uvloop", "kind": "session"},
)
"""The same for tests that start their own loop, such as the properties."""


def mark_other_ways(items: Iterable[pytest.Item]) -> None:
    """Mark each test that runs in a way that the main run leaves out."""
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("every_way") is None:
            chosen = getattr(item, "callspec", None)
            given = {} if chosen is None else chosen.params
            if is_other_way(given):
                item.add_marker("other_way")


def leave_out_other_ways(metafunc: pytest.Metafunc) -> None:
    """Create no test for the ways that the main run leaves out.

    A test that this misses, because pytest keeps its parameters elsewhere, is still marked.
    """
    if metafunc.definition.get_closest_marker("every_way") is None:
        calls = getattr(metafunc, "_calls", [])
        calls[:] = [each for each in calls if not is_other_way(each.params)] or calls


def is_other_way(given: Mapping[str, object]) -> bool:
    """Return whether the main run leaves out a test with these parameters."""
    if "json_library" in given:
        main: Sequence[Mapping[str, object]] = MAIN_WAYS
    elif {"loop", "kind"} <= given.keys():
        main = OWN_LOOP_WAYS
    else:
        return False
    ways = [{name: way[name] for name in way if name in given} for way in main]
    return {name: given[name] for name in ways[0]} not in ways


@pytest.fixture(params=["orjson", "stdlib"], autouse=True)
def json_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the package use orjson, or act as if it were not installed."""
    library: str = request.param
    if library == "stdlib":
        for module in (wire, envelope):
            monkeypatch.setattr(module, "decode", json_text.decode_plainly)
        monkeypatch.setattr(media, "encode", json_text.encode_plainly)
    elif importlib.util.find_spec("orjson") is None:
        pytest.skip("orjson is not installed")
    return library
