"""An emulator in its own thread, for programs without an event loop."""

import threading

import pytest

from enapter_async.emulator import Emulator


def test_a_failing_server_thread_leaves_nothing_and_says_why() -> None:
    with Emulator(devices=1) as served:
        serving = threading.active_count()
        with pytest.raises(OSError, match="address"), Emulator(devices=1, port=served.port):
            pass
        with pytest.raises(RuntimeError, match="already running"), served:
            pass
        assert threading.active_count() == serving
        assert served.port
    assert threading.active_count() == serving - 1
    with pytest.raises(RuntimeError, match="not running"):
        _ = served.port
