"""Files of operations: valid files, and every way in which one can be wrong."""

import json
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter.operations import operation_to_json
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import InputError, read_operations
from enapter_async.fleet.operation_files import parse_operations
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.operation import UNSET, Answer, Operation, Repeat
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)


@attrs.frozen(kw_only=True)
class TagRack(Operation[None]):
    kind: ClassVar[str] = "rack.tag"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[None]] = Answer(type=None)

    rack_id: str
    name: str
    tags: list[str]


HEADER = "operation,device_id,name,slug,blueprint_id,protocol\n"
ALL: list[Operation[Any]] = [
    UpdateDevice(device_id="d1", name="Boiler, big", slug="boiler"),
    UpdateDevice(device_id="d2", slug="only-slug"),
    AssignBlueprint(device_id="d1", blueprint_id="bp-2"),
    GenerateConfig(device_id="d3", protocol="MQTT"),
    DeleteDevice(device_id="d4"),
]
CSV = (
    HEADER
    + 'update,d1,"Boiler, big",boiler,,\n'
    + "update,d2,,only-slug,,\n"
    + "assign-blueprint,d1,,,bp-2,\n"
    + "generate_config,d3,,,,mqtt\n"
    + "delete,d4,,,,\n"
)


def parse(text: str | bytes) -> list[Operation[Any]]:
    data = text.encode() if isinstance(text, str) else text
    return parse_operations(data, source="f.csv")


def problems(text: str | bytes) -> list[tuple[int, str]]:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert isinstance(caught.value, ConfigurationError)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def test_a_csv_file_holds_all_operations(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(CSV, encoding="utf-8")
    assert read_operations(path) == ALL


def test_a_cell_of_a_field_that_is_not_text_holds_json(tmp_path: Path) -> None:
    (operation,) = parse('operation,rack_id,name,tags,place\nrack.tag,r1,7,"[""a"",""=1""]",\n')
    assert operation == TagRack(rack_id="r1", name="7", tags=["a", "=1"])
    path = tmp_path / "results.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        row_writer(file, ("operation", "rack_id", "name", "tags"))(operation_to_json(operation))
    assert read_operations(path) == [operation]
    wrong = problems("operation,rack_id,name,tags\nrack.tag,r1,7,a\n")
    assert wrong == [(2, "tags must contain JSON, as it is not text; got 'a'")]


def test_an_empty_cell_leaves_the_field_alone() -> None:
    (operation,) = parse(HEADER + "update,d1,new,,,\n")
    assert isinstance(operation, UpdateDevice)
    assert operation.slug is UNSET


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_do_not_matter(end: str, mark: bytes) -> None:
    assert parse(mark + CSV.replace("\n", end).encode()) == ALL
    lines = end.join(json.dumps(operation_to_json(each)) for each in ALL)
    assert parse(mark + lines.encode()) == ALL


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_header_determines_the_delimiter(delimiter: str) -> None:
    text = f"\ndevice_id{delimiter}operation{delimiter}name\nd1{delimiter}update{delimiter}a,b\n"
    assert parse(text) == [UpdateDevice(device_id="d1", name="a,b")]


def test_spaces_case_of_headers_other_columns_and_blank_lines_do_not_matter() -> None:
    text = " Operation ,DEVICE_ID,site,Name\n\n update , d1 ,Riga, new \n,,,\n\n"
    assert parse(text) == [UpdateDevice(device_id="d1", name="new")]


def test_a_quoted_cell_may_hold_a_line_end_and_later_lines_keep_their_numbers() -> None:
    text = 'operation,device_id,name\nupdate,d1,ok\nupdate,d2,"two\nlines"\nupdate,..,x\n'
    ((line, message),) = problems(text)
    assert line == 5
    assert "device_id" in message


def test_a_header_alone_is_not_an_operation() -> None:
    assert parse(HEADER) == []


@pytest.mark.parametrize("text", ["", " \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_not_csv(text: str | bytes) -> None:
    assert problems(text) == [(0, "it is empty; a CSV file starts with a header")]


def test_every_problem_is_reported_with_its_line() -> None:
    text = (
        HEADER
        + "update,d1,,,,\n"  # sets nothing
        + "update,../sites,x,,,\n"
        + "explode,d1,,,,\n"
        + "update,d1,ok,,,\n"
        + "delete,d1,name,,,\n"  # a non-empty column that a deletion does not use
        + "generate_config,d1,,,,HTTP\n"
        + "generate_config,d1,,,,\n"
        + "assign_blueprint,d1,,,,\n"
        + "update,,x,,,\n"
        + "update,d1,x\n"
    )
    found = problems(text)
    assert [line for line, _ in found] == [2, 3, 4, 6, 7, 8, 9, 10, 11]
    for (_, message), word in zip(
        found,
        [
            "name, slug or both",
            "device_id",
            "one of device.update",
            "'name'",
            "MQTT or MQTTS",
            "needs the field protocol",
            "needs the field blueprint_id",
            "needs the field device_id",
            "it has 3 cells, but the header has 6",
        ],
        strict=True,
    ):
        assert word in message


def test_the_first_20_problems_are_shown_and_all_are_kept() -> None:
    with pytest.raises(InputError) as caught:
        parse(HEADER + "explode,d1,,,,\n" * 50)
    assert len(caught.value.problems) == 50
    text = str(caught.value)
    assert text.startswith("f.csv: 50 problems; nothing was sent\n  line 2: ")
    assert "line 21: " in text
    assert "line 22: " not in text
    assert text.endswith("and 30 more")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("device_id,name\nd1,x\n", 1, "lacks operation"),
        ("operation\nupdate\n", 2, "update needs the field device_id"),
        ("operation,device_id,name,name\n", 1, "name twice"),
        ("\n\nname\n", 3, "lacks operation"),
        ('operation,device_id,name\nupdate,d1,"open\n', 2, "not valid CSV: a quote is not closed"),
        ('operation,device_id,name\nupdate,d1,"a"b\n', 2, "not valid CSV"),
        (b"operation,device_id,name\nupdate,d1,a\nupdate,d1,\xff\n", 3, "not UTF-8"),
        ("operation,device_id\n".encode("utf-16"), 0, "UTF-16"),
        ("operation,device_id\nlist,d1\n", 2, "one of device.update"),
    ],
)
def test_csv_files_that_are_refused(text: str | bytes, line: int, word: str) -> None:
    ((found, message),) = problems(text)
    assert found == line
    assert word in message


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"operation": "update", "device_id": "d1", "nam": "x"}', "'nam'"),
        ('{"operation": "update", "device_id": "d1", "name": null}', "name is empty"),
        ('{"operation": "update", "device_id": "d1", "name": ""}', "name is empty"),
        ('{"operation": "update", "device_id": "d1", "name": 5}', "name"),
        ('{"operation": "update", "device_id": 5, "name": "x"}', "device_id"),
        ('{"operation": "update", "device_id": "a", "device_id": "b", "name": "x"}', "twice"),
        ('{"operation": "get", "device_id": "d1"}', "one of device.update"),
        ('{"operation": "blueprint.upload", "archive": "a.zip"}', "upload it first"),
        ('{"device_id": "d1"}', "operation"),
        ('{"operation": ["update"], "device_id": "d1"}', "operation"),
        ('["update"]', "not a JSON object"),
        ('{"operation": "update"', "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_errors_in_json_lines(line: str, word: str) -> None:
    good = '{"operation": "delete", "device_id": "d1"}'
    ((found, message),) = problems(f"{good}\n\n{line}\n")
    assert found == 3
    assert word in message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_operations(tmp_path / "none.csv")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_operations(tmp_path)


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20
)


@given(names=st.lists(texts, min_size=1, max_size=5))
def test_json_lines_preserve_any_name(names: list[str]) -> None:
    operations = [UpdateDevice(device_id="d1", name=name) for name in names]
    lines = "\n".join(
        json.dumps(operation_to_json(each), ensure_ascii=False) for each in operations
    )
    assert parse(lines) == operations


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except InputError as error:
        assert error.problems  # noqa: PT017 - there may be no error, too


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Updat;dev-1;A", "there is no operation 'Updat'; did you mean update?"),
        ("rename;dev-1;A", "there is no operation 'rename'; write one of device.update, "),
        ("site.update;;A", "site.update cannot be part of a job: without site_id"),
        ("rule_engine.suspend;;", "rule_engine.suspend cannot be part of a job: without site_id"),
    ],
)
def test_an_operation_that_is_not_possible_is_named_with_what_would_be_right(
    row: str, said: str
) -> None:
    ((line, message),) = problems(f"Operation;Device_ID;Name\nUPDATE;dev-1;A\n{row}\n")
    assert line == 3
    assert message.startswith(said)


def test_a_header_of_a_spreadsheet_is_shown_as_it_is_written() -> None:
    ((_, message),) = problems("Gerät;Name\nx;y\n")
    assert message.startswith("the header lacks operation and device_id (or another id); it has ")
    assert "'gerät', 'name'; `fleet template` writes a file with the right header" in message
