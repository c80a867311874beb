"""Breaks of reading answers: their form, their size, and what must not be lost."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_PAYLOADS: Final = "http/test_payload_faults.py::"
_SECRETS: Final = "http/test_lost_secrets.py::"

ANSWERS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "a name that stands twice is read": Break(
            "_http.json_text:_count_strings",
            """if b"\\\\" not in text or rb"\\"" not in text:""",
            "if True: return 0\n    if False:",
            by="http/test_json_text.py::test_no_escape_hides_a_second_name",
        ),
        "escaped quotes count as the ends of strings": Break(
            "_http.json_text:_count_strings",
            """return text.count(b'"') - text.count(rb"\\"")""",
            """return text.count(b'"')""",
            by="http/test_json_text.py::test_no_escape_hides_a_second_name",
        ),
        "nesting has no bound": Break(
            "_http.json_text:decode_plainly",
            "or not _is_too_deep(body, data)",
            "or True",
            by="http/test_json_text.py::test_nesting_has_the_same_bound_for_both",
        ),
        "credentials that cannot be read are dropped": Break(
            "_http.wire:_kept",
            "return None if page else RawAnswer(reply.body)",
            "return None",
            by=_SECRETS + "test_an_unreadable_configuration_is_kept_and_not_shown",
        ),
        "credentials that cannot be read are generated once more": Break(
            "_http.wire:_unusable",
            "(kept is not None and not reply.cut)",
            "False",
            by=_SECRETS + "test_a_received_answer_is_not_requested_again_even_if_allowed",
        ),
        "a job keeps no answer that cannot be read": Break(
            "fleet.execution:Execution._refused",
            "if error.answer is not None and credential_store is not None:",
            "if False:",
            by="fleet/test_unread_answers.py::test_a_job_writes_it_as_received",
        ),
        "any object is an empty fleet": Break(
            "operations.pages:Page.when_missing",
            "return () if looks_like_a_page or (self.offset > 0 and not envelope) else UNSET",
            "return ()",
            by=_PAYLOADS + "test_a_non_page_is_not_an_empty_fleet",
        ),
        "a page that is too large ends the list": Break(
            "api.paging:read_page",
            "smaller = page.smaller()",
            "smaller = None",
            by=_PAYLOADS + "test_a_page_that_is_too_large_is_requested_again_in_smaller_ones",
        ),
        "another slug's answer is taken": Break(
            "operations.on_device:is_about",
            "return new_slug or not device.slug or device.slug.lower() == asked.lower()",
            "return True",
            by="http/test_settlement.py::test_row33_another_slug_is_another_device",
        ),
        "a client is used on another loop": Break(
            "_http.engine:Engine.pipeline",
            "if loop is None or self.thread != threading.get_ident() or not loop.is_running():",
            "if loop is None:",
            by="http/test_cancellation.py::test_row43_a_client_on_another_event_loop_says_so",
        ),
        "the headers of a response show an echoed token": Break(
            "_http.wire:Wire.masked_headers",
            "(name, self._mask.text(value))",
            "(name, value)",
            by="http/test_response.py::test_the_headers_and_the_request_id_come_with_the_result",
        ),
        "a deletion whose 404 nothing could prove is reported as not done": Break(
            "_http.settlement:Settlement._judged",
            'if not getattr(last.error, "proven", False):',
            "if False:",
            by="fleet/test_absence.py::test_a_deletion_that_a_proxy_delivered_twice_is_unknown_if_nothing_is_proven",
        ),
    }
)
