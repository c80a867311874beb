"""How a user's own operation is treated, depending on what it declares and omits."""

import warnings
from typing import Any, ClassVar

import attrs
import pytest

from enapter_async.operation import (
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Settles,
    Target,
    described,
    operation_class,
)
from tests.support.racks import AddRack, CreateRack, GetRack, Rack, RenameRack

RENAME = RenameRack(rack_id="r1", name="North")


def test_changes_determine_whether_it_holds_and_how_an_answer_differs() -> None:
    assert RENAME.holds(Rack(id="r1", name="North"))
    assert not RENAME.holds(Rack(id="r1", name="South"))
    assert not RENAME.holds(None)
    assert RENAME.differs(Rack(id="r1", name="North")) == ""
    assert (
        RENAME.differs(Rack(id="r1", name="north")) == "name is 'north', but 'North' was requested"
    )


def test_result_of_a_state_is_the_state_if_both_have_one_type() -> None:
    state = Rack(id="r1", name="North")
    assert RENAME.result_of(state) is state
    with pytest.raises(ValueError, match="nothing was"):
        RENAME.result_of(None)


def test_how_it_settles_follows_from_how_safe_it_is_to_repeat() -> None:
    assert RENAME.settles is Settles.STATE
    assert GetRack.settles is Settles.NEVER
    assert CreateRack.settles is Settles.KEY


def test_a_new_object_is_named_by_its_natural_key_or_not_at_all() -> None:
    create, add = CreateRack(rack_id="r9", name="East"), AddRack(name="East")
    assert (described(create), create.writes_to()) == ("CreateRack of r9", ("rack", "r9"))
    assert (described(add), add.writes_to()) == ("AddRack", None)
    assert add.target() == Target("rack"), "the noun comes from its kind"


def test_targets_of_two_nouns_differ_whatever_their_ids() -> None:
    assert RENAME.writes_to() == ("rack", "r1")
    assert GetRack(rack_id="r1").writes_to() is None


def make(**members: Any) -> type[Operation[Any]]:
    told = {"repeat": Repeat.CONVERGENT, "answer": Answer(type=None), "__qualname__": "Made"}
    return type("Made", (Operation,), {**told, **members})


def test_a_class_without_a_kind_is_named_by_its_place() -> None:
    made = make()
    assert made.kind == f"{__name__}:Made"
    assert operation_class(made.kind) is made


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("update", "kind must be 'noun.verb'"),
        ("Rack.move", "kind must be 'noun.verb'"),
        (5, "kind is the class's name in files; rename the field"),
        ("rack.rename", "kind 'rack.rename' is already used by tests.support.racks:RenameRack"),
    ],
)
def test_an_invalid_kind_is_refused_at_the_class_definition(kind: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make(kind=kind)
    assert operation_class("rack.rename") is RenameRack


def test_a_redefined_class_replaces_itself() -> None:
    first, second = make(kind="rack.move"), make(kind="rack.move")
    assert operation_class("rack.move") is second is not first


def test_a_class_of_version_0_1_still_works_with_one_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        @attrs.frozen(kw_only=True)
        class MoveRack(Operation[Rack]):
            repeat: ClassVar[Repeat] = Repeat.CONVERGENT
            answer: ClassVar[Answer[Rack]] = Answer(key="rack", type=Rack)

            rack_id: str

            def request(self) -> RequestParts:
                return RequestParts("POST", ("racks", self.rack_id, "move"))

            def subject(self) -> str:
                return f"rack {self.rack_id}"

    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert warning.filename == __file__
    assert "MoveRack says what it is about by subject(); write target() instead" in str(
        warning.message
    )
    move = MoveRack(rack_id="r1")
    assert move.target() == Target("", "rack r1")
    assert move.writes_to() == ("", "rack r1")
    assert described(move) == "MoveRack of rack r1"
    assert move.differs(Rack(id="r1")) == "", "it does not declare its changes"
