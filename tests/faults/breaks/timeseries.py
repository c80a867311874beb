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
            "_http.media:unended",
            'if "Content-Length" in headers or "Transfer-Encoding" in headers:',
            "if True:",
            by="http/test_streaming.py::test_what_breaks_before_the_first_row_is_requested_again",
        ),
        "a table that was cut within its gzip data is whole": Break(
            "_http.unpacking:Unpacker.end",
            "if self._inner is not None and not self._inner.eof:",
            "if False:",
            by="http/test_unpacking.py::"
            "test_a_compressed_table_that_was_cut_is_not_taken_for_whole",
        ),
        "half an archive becomes a file": Break(
            "operations.blueprints:ArchiveReader.end",
            "if not zipfile.is_zipfile(io.BytesIO(self._tail)):",
            "if False:",
            by="api/test_blueprints.py::test_a_file_is_written_whole_or_stays_as_it_is",
        ),
        "an archive that broke off replaces the old file": Break(
            "api.packing:new_file",
            "            yield file\n",
            "            try:\n                yield file\n            except ValueError:\n"
            "                raise\n            except Exception:\n                pass\n",
            by="api/test_blueprints.py::test_a_file_is_written_whole_or_stays_as_it_is",
        ),
        "a wide time series takes its places one by one": Break(
            "_http.streaming:Streams._take_places",
            "await self._places.take(number)",
            "for _ in range(number):\n"
            "                await self._places.take(1)\n"
            "                await asyncio.sleep(0)",
            by="api/test_telemetry.py::test_wide_time_series_take_all_their_places_at_once",
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
