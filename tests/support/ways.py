"""The ways in which a fault test is run: on either event loop, with either JSON library.

A folder whose `conftest.py` takes in the two functions of this module runs each of its tests
in every way; the test's id tells which, as in `test_row01_…[uvloop-stdlib-direct]`.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Mapping

import pytest

from enapter_async._http import json_text, wire

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


@pytest.fixture(params=["orjson", "stdlib"], autouse=True)
def json_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the package read and write JSON with orjson, or as if that were not installed."""
    library: str = request.param
    if library == "stdlib":
        monkeypatch.setattr(wire, "decode", json_text.decode_plainly)
        monkeypatch.setattr(wire, "encode", json_text.encode_plainly)
    elif importlib.util.find_spec("orjson") is None:
        pytest.skip("orjson is not installed")
    return library
