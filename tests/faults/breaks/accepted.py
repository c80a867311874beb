"""Breaks of operations that create objects, and of those that end after they were accepted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_FOLLOWED: Final = "fleet.accepted:FollowedExecution"
_FOLLOWING: Final = "fleet/test_accepted.py"
_ONE_CANDIDATE: Final = "test_only_one_candidate_is_taken_and_only_if_that_is_allowed"

ACCEPTED: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "a pending operation is sent again": Break(
            f"{_FOLLOWED}.__init__",
            "item_record.follow is not None",
            "False",
            by=f"{_FOLLOWING}::test_a_resumed_run_follows_pending_operations_to_their_end",
        ),
        "followed before the journal knows": Break(
            f"{_FOLLOWED}.carry_out",
            "item_record.accepted(follow_up.reading)",
            "pass",
            by=f"{_FOLLOWING}::test_a_kill_while_it_is_followed_loses_nothing",
        ),
        "pending is told as applied": Break(
            f"{_FOLLOWED}._as_read",
            "_STATES.get(type(error), State.APPLIED)",
            "State.APPLIED",
            by=f"{_FOLLOWING}::test_each_ending_has_its_own_state",
        ),
        "what the API has forgotten is still awaited": Break(
            "api.accepted:FollowUp.error",
            "isinstance(problem, NotFoundError)",
            "False",
            by=f"{_FOLLOWING}::test_an_operation_that_the_api_has_forgotten_is_unknown",
        ),
        "the first of several candidates is taken": Break(
            "fleet.reading:find_created",
            "len(known) == 1",
            "known",
            by=f"{_FOLLOWING}::{_ONE_CANDIDATE}",
        ),
        "older objects are candidates": Break(
            "_http.evidence:candidates",
            "at is None or at.timestamp() >= began",
            "True",
            by=f"{_FOLLOWING}::{_ONE_CANDIDATE} "
            "http/test_settling.py::test_objects_older_than_the_first_attempt_are_not_candidates",
        ),
        "only the first page of a search is read": Break(
            "_http.searching:searched",
            "not isinstance(page, Page) or is_dated(operation)",
            "True",
            by="fleet/test_searches.py::"
            "test_only_what_is_new_is_a_candidate_wherever_the_list_shows_it",
        ),
        "a candidate that may be older is taken": Break(
            "fleet.reading:find_created",
            "and not doubt",
            "",
            by="fleet/test_searches.py::test_a_single_candidate_that_may_be_older_is_never_taken",
        ),
        "an object is taken that may have had the key before": Break(
            "fleet.reading:find_created",
            "and there == frozenset()",
            "",
            by="fleet/test_searches.py::test_an_object_that_may_have_had_the_key_is_never_taken",
        ),
        "a stop holds a deletion that met a 404": Break(
            "fleet.execution:Execution._seems_gone",
            "missing and",
            "False and",
            by="fleet/test_searches.py::test_a_deletion_whose_404_is_not_yet_proven_is_not_held",
        ),
        "a killed run forgets what was there": Break(
            "fleet.journal.records:intent_row",
            "if there is None",
            "if True",
            by="fleet/test_searches.py::test_a_job_remembers_what_was_there_before_it_sent",
        ),
        "an equal operation's object is taken": Break(
            "fleet.journal.resume:twins",
            "digest in doubled and",
            "False and",
            by=f"{_FOLLOWING}::"
            "test_no_candidate_is_taken_if_an_equal_operation_may_have_created_it",
        ),
        "a command that timed out has not happened": Break(
            "operations.commands:_Command.leaves_unknown",
            "result.state != ExecutionState.ERROR",
            "False",
            by="api/test_commands.py::test_each_bad_ending_is_its_own_error",
        ),
        "a command's ERROR is success": Break(
            "operations.commands:_Command.fault",
            "_not_well(result) if",
            '"" if',
            by="api/test_commands.py::test_each_bad_ending_is_its_own_error",
        ),
        "a device that was not asked for is the created one": Break(
            "operations.provisioning:_WithSlug.holds",
            "(state.name, state.slug) == (self.name, self.slug)",
            "True",
            by="api/test_provisioning.py::"
            "test_a_device_that_somebody_else_created_meanwhile_is_not_taken",
        ),
        "a look keeps its permit": Break(
            "_http.pipeline:Pipeline._take_turn",
            "self._drop_granted(call.record)  # the search might wait for it forever",
            "pass",
            by="api/test_provisioning.py::test_a_search_before_a_call_does_not_wait_for_the_permit_of_that_call",
        ),
    }
)
