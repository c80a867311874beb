"""Time series as CSV: every type, form of header and cut, and what is refused."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from enapter_async.models.telemetry import Aggregation, DataType, TimeseriesColumn
from enapter_async.operations.timeseries_csv import LARGEST_RECORD, TYPES_HEADER, TimeseriesReader

TYPES = "float,integer,string,string_array,boolean"
COLUMNS = ",".join(f"device=d telemetry=t{number} aggregation=auto" for number in range(5))
TABLE = (
    f"ts,{COLUMNS}\r\n"
    '1770094800,2.5,3,ok,"[""a"",""b,c""]",true\r\n'
    "1770094860,,,,,\r\n"
    '1770094920,-1e3,900.0,"two\r\nlines, ""quoted"" naïve",[],0\r\n'
    '1770094980,7,-8," ",null,FALSE\r\n'
)
ROWS = [
    (1770094800, (2.5, 3, "ok", ("a", "b,c"), True)),
    (1770094860, (None,) * 5),
    (1770094920, (-1000.0, 900, 'two\r\nlines, "quoted" naïve', (), False)),
    (1770094980, (7.0, -8, " ", None, False)),
]


def reader(*types: str) -> TimeseriesReader:
    return TimeseriesReader(CIMultiDict([(TYPES_HEADER, each) for each in types]))


def rows_of(
    reader: TimeseriesReader, body: bytes, size: int
) -> list[tuple[int, tuple[object, ...]]]:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    rows = [row for part in parts for row in reader.feed(part)]
    return [(int(time.timestamp()), values) for time, values in (*rows, *reader.end())]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_rows_are_the_same_however_the_body_is_cut(size: int) -> None:
    assert rows_of(reader(TYPES), TABLE.encode(), size) == ROWS


@pytest.mark.parametrize(
    "types", [(TYPES,), tuple(TYPES.split(",")), ("float, integer", "STRING,string_array,boolean ")]
)
def test_types_are_in_one_header_or_in_several(types: tuple[str, ...]) -> None:
    found = reader(*types)
    assert rows_of(found, TABLE.replace("\r\n", "\n").encode()[:-1], 50)[0] == ROWS[0]
    assert ",".join(str(column.type).lower() for column in found.columns) == TYPES
    assert found.columns[1] == TimeseriesColumn(
        device="d",
        attribute="t1",
        aggregation=Aggregation.AUTO,
        type=DataType.INTEGER,
        name="device=d telemetry=t1 aggregation=auto",
    )


def test_no_data_is_an_empty_body_or_only_a_header() -> None:
    nothing = reader()
    assert (nothing.feed(b""), nothing.end(), nothing.columns) == ((), (), ())
    header = reader()
    assert list(header.feed(f"ts,{COLUMNS}\n".encode())) == []
    assert [column.type for column in header.columns] == [None] * 5
    typed = reader(TYPES)
    assert list(typed.feed(f"ts,{COLUMNS}".encode())) == []
    assert list(typed.end()) == []
    assert typed.columns[0].type is DataType.FLOAT


def test_a_type_of_the_future_is_kept_as_text() -> None:
    found = reader("json")
    table = b'ts,device=d telemetry=t\n1,"{}"\n'
    assert rows_of(found, table, 100) == [(1, ("{}",))]
    assert found.columns[0].type == "json"
    assert found.columns[0].aggregation is None


def test_a_time_may_have_a_fraction() -> None:
    (row,) = reader("float").feed(b"ts,device=d telemetry=t\n0.5,1\n")
    assert row.timestamp == datetime(1970, 1, 1, 0, 0, 0, 500_000, UTC)


ONE = "ts,device=d telemetry=t\n"


@pytest.mark.parametrize(
    ("types", "body", "reason"),
    [
        ("float", "time,device=d telemetry=t\n", "the first column is not ts"),
        ("float", "ts,power\n", "the header of a column names no device or no telemetry"),
        ("float,float", ONE, "the response names 2 types for 1 columns"),
        ("", f"{ONE}1,2\n", f"the response has rows, but no header {TYPES_HEADER}"),
        ("float", f"{ONE}1,2,3\n", "a row does not have one cell for each of the 2 columns"),
        ("float", f"{ONE}1\n", "a row does not have one cell for each"),
        ("float", f"{ONE}soon,2\n", "a time is not a number of seconds since 1970"),
        ("float", f"{ONE}1e30,2\n", "a time is not a number of seconds since 1970"),
        ("float", f"{ONE}2,2\n1,2\n", "the rows are not in order of time"),
        ("float", f"{ONE}2,2\n2,2\n", "the rows are not in order of time"),
        ("float", f"{ONE}1,secret\n", "a value of d t is not of type FLOAT"),
        ("integer", f"{ONE}1,2.5\n", "a value of d t is not of type INTEGER"),
        ("boolean", f"{ONE}1,yes\n", "a value of d t is not of type BOOLEAN"),
        ("string_array", f"{ONE}1,[1]\n", "a value of d t is not of type STRING_ARRAY"),
        ("string_array", f"{ONE}1,a\n", "a value of d t is not of type STRING_ARRAY"),
        ("string", f'{ONE}1,"a\n', "the response ends within a row"),
        ("string", f'{ONE}1,"{"a" * LARGEST_RECORD}', "a row is larger than 1048576 bytes"),
        ("string", f"{ONE}1,\udcff\n", "the response is not UTF-8"),
    ],
)
def test_a_damaged_table_is_refused_without_its_values(types: str, body: str, reason: str) -> None:
    found = reader(types)
    with pytest.raises(ValueError, match=reason) as caught:
        rows_of(found, body.encode("utf-8", "surrogateescape"), LARGEST_RECORD * 2)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
