"""Breaks of streams: a token that goes elsewhere, and gaps that are not reported."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

STREAMS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "a stream follows a redirect with its token": Break(
            "_http.socket:_guard",
            "if response.status == 101:",
            "if response.status == 101 or 300 <= response.status < 400:",
            by="streams/test_logs.py::"
            "test_an_answer_that_is_not_a_websocket_ends_it_and_is_not_followed",
        ),
        "a stream is silent about what it missed": Break(
            "api.streams:_Feed._read",
            "self._put(Gap(reason=_NO_CONNECTION, since=since, until=now))",
            "pass",
            by="streams/test_devices.py::test_several_devices_are_watched_at_once",
        ),
        "a stream yields what it has listed twice": Break(
            "api.streams:_Feed._arrive",
            "if self._filled and self._filled.get(item, 0) > 0:",
            "if False:",
            by="streams/test_logs.py::test_a_log_that_is_both_listed_and_sent_comes_once",
        ),
    }
)
