"""Breaks of streamed answers, and of the requests that a time series is divided into."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_WANTED: Final = "api.timeseries:TimeseriesTable._is_wanted"

TIMESERIES: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "a broken stream ends as if it were complete": Break(
            "_http.streaming:Stream.batches",
            'raise StreamBrokenError(f"the stream broke: {reason}")',
            "return",
            by="http/test_streaming.py::"
            "test_a_break_after_a_row_is_reported_and_resumed_from_there",
        ),
        "a stream is believed without knowing where it ends": Break(
            "_http.streaming:_check_framing",
            'if "Content-Length" not in headers and "Transfer-Encoding" not in headers:',
            "if False:",
            by="http/test_streaming.py::test_what_breaks_before_the_first_row_is_asked_for_again",
        ),
        "a row comes twice": Break(
            _WANTED,
            "(self.last is None or time > self.last)",
            "True",
            by="http/test_streaming.py::"
            "test_a_break_after_a_row_is_reported_and_resumed_from_there",
        ),
        "a row is taken from the request that has only a part of its step": Break(
            _WANTED,
            "(end == self._to or time < end)",
            "True",
            by="api/test_telemetry.py::test_a_large_query_is_cut_and_merged_by_time",
        ),
    }
)
