"""CSV through spreadsheets and other programs: nothing is lost, and no cell is a formula."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.fleet import InputError
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.fleet.spreadsheets import plain_cell, read_rows, row_writer, safe_cell
from enapter_async.operations.devices import UpdateDevice

CHANGE = UpdateDevice(device_id="dev-1", name="A")
HEADER = "operation,device_id,name,slug\n"

tricky = st.text(st.sampled_from(";\t\r\n '=+-@\uff1dab,\"\xa0\u2028\x1c\x85\ufeff"), max_size=9)
texts = st.one_of(tricky, st.text(st.characters(exclude_categories=["Cs"])))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Boiler", "Boiler"),
        (" x", "' x'"),
        ("x ", "'x '"),
        ("' x '", "'' x ''"),
        ("' ", "'' '"),
        ("'", "'"),
        ("''", "''"),
        ("'a'", "'a'"),
        ("'a b'", "'a b'"),
        ("' x'", "'' x''"),
        ("=1", "'=1"),
        ("'=1", "''=1"),
        ("a;=1", "a;'=1"),
        ("a; +1", "a; '+1"),
        ("\t", "''\t'"),
    ],
)
def test_how_a_cell_is_written(text: str, cell: str) -> None:
    assert safe_cell(text) == cell
    assert plain_cell(cell) == text


@given(texts)
def test_any_text_survives_a_cell(text: str) -> None:
    cell = safe_cell(text)
    assert plain_cell(cell) == text
    assert plain_cell(f" {cell}\t") == text


@given(texts)
def test_no_cell_is_a_formula_wherever_a_spreadsheet_splits_it(text: str) -> None:
    for piece in re.split(r"[;\t\r\n]", safe_cell(text)):
        assert not piece.lstrip(" ").startswith(("=", "+", "-", "@", "\uff1d"))


@given(st.lists(texts, max_size=5))
def test_any_texts_survive_a_file(names: list[str]) -> None:
    file = io.StringIO(newline="")
    write = row_writer(file, ["operation", "name"])
    for name in names:
        write({"operation": "x", "name": name, "more": "no"})
    assert file.getvalue().startswith("\ufeffoperation")
    found = list(read_rows(file.getvalue().removeprefix("\ufeff")))
    assert [cells for _, cells in found] == [["operation", "name"], *(["x", n] for n in names)]


WRITTEN = {
    "Excel's hint": b"sep=;\noperation;device_id;name\nupdate;dev-1;A\n",
    "another hint": b'"sep=|"\r\noperation|device_id|name\r\nupdate|dev-1|A\r\n',
    "PowerShell": b'#TYPE Object\n"operation","device_id","name"\n"update","dev-1","A"\n',
    "a remark": b"\n# my fleet, of May\noperation,device_id,name\nupdate,dev-1,A\n",
    "empty cells more": HEADER.encode() + b"update,dev-1,A,,,,\n",
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbfoperation,device_id,name\nupdate,dev-1,A\n",
    "the end of a DOS file": b"operation,device_id,name\r\nupdate,dev-1,A\r\n\x1a",
    "a space before a quote": b'operation, "device_id", name\nupdate, dev-1, "A"\n',
    "semicolons and spaces": b'operation; device_id; name\nupdate; dev-1; "A"\n',
}


@pytest.mark.parametrize("data", WRITTEN.values(), ids=WRITTEN)
def test_files_from_other_programs_are_read(data: bytes) -> None:
    assert parse_operations(data, source="f") == [CHANGE]


def test_a_comma_in_a_quoted_cell_after_a_space_belongs_to_the_cell() -> None:
    text = 'operation, device_id, name\nupdate, dev-1, "Boiler, north"\n'
    (operation,) = parse_operations(text.encode(), source="f")
    assert operation == UpdateDevice(device_id="dev-1", name="Boiler, north")


TABLE = "operation,device_id,name\nupdate,dev-1,A\n"


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (TABLE.encode("utf-16-le"), 0, "UTF-16 without a byte order mark"),
        (TABLE.encode("utf-16-be"), 0, "UTF-16 without a byte order mark"),
        (TABLE.encode("utf-16"), 0, "it is UTF-16; save it as UTF-8"),
        (TABLE.encode("utf-32"), 0, "it is UTF-32"),
        (b"PK\x03\x04\x14\x00\x06\x00" + bytes(40), 0, "such as .xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "such as .xls"),
        (b"\x1f\x8b\x08\x00", 0, "compressed"),
        ("operation,device_id,name\nupdate,dev-1,K\xfc\n".encode("cp1252"), 2, "'CSV UTF-8'"),
        (b"\n\xff\n", 2, "not UTF-8"),
        (b'[{"operation":"delete","device_id":"dev-1"}]', 1, "jq -c '.[]'"),
        (
            b"operation,device_id,nmae\nupdate,dev-1,A\n",
            1,
            "unknown column 'nmae'; rename it to name",
        ),
        (b"operation,device_id,blueprint\n", 1, "rename it to blueprint_id"),
        (b"operation,device-id,name\n", 1, "unknown column 'device-id'; rename it to device_id"),
        (b"a,b\n", 1, "the header lacks operation and device_id"),
        (b"device_id,name,network.port\n", 1, "use `fleet drift FILE -o PLAN`"),
        (b"sep=;\n# x\noperation;device_id;name\nupdate;;A\n", 4, "device_id"),
        (b'operation;device_id;name\nupdate;dev-1;\t"A"\n', 2, "a quote follows white space"),
        (b'operation;device_id;\t"name"\nupdate;dev-1;A\n', 1, "a quote follows white space"),
        (
            b"operation,device_id,name\nupdate,dev-1,A,,B\n",
            2,
            "5 cells, but the header has 3; quote a cell",
        ),
        (
            b"operation,device_id,name\nupdate,dev-1\n",
            2,
            "has 3; write the delimiters of empty",
        ),
    ],
)
def test_unreadable_files_are_identified(data: bytes, line: int, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_operations(data, source="f")
    (problem,) = caught.value.problems
    assert problem.line == line
    assert said in problem.message


def test_columns_that_are_ignored_are_named() -> None:
    told: list[object] = []
    data = b"operation,device_id,name,Owner,present_role,\nupdate,dev-1,A,x,OWNER,\n"
    assert parse_operations(data, source="f", on_ignored=told.append) == [CHANGE]
    assert told == [["owner", "present_role"]]
