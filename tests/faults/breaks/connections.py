"""Breaks of connections: what is sent on them, what may be read from them, and when they end."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_DIRECT: Final = "_http.direct:DirectTransport"
_SESSION: Final = "_http.session:SessionTransport"

CONNECTIONS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "interim answers never end": Break(
            "_http.connections:Connection.data_received",
            "or self._interim > INTERIM_LIMIT",
            "",
            by="http/test_action_table.py::test_maybe_is_sent_again",
        ),
        "a redirect is followed": Break(
            f"{_SESSION}.exchange",
            "allow_redirects=False",
            "allow_redirects=True",
            by="http/test_redirects.py::test_a_redirect_is_never_followed",
        ),
        "aiohttp sends again by itself": Break(
            "_http.session:_Exchange.guard",
            "raise _Lost",
            "raise aiohttp.ServerDisconnectedError",
            by="http/test_action_table.py::test_one_attempt_means_one_for_refusals_too "
            "http/test_action_table.py::test_a_read_whose_answers_were_lost_was_sent",
        ),
        "what a middleware sent is denied": Break(
            "_http.session:_Exchange._note_sending",
            "self.sent = True\n        if not self._sends:\n            raise _Lost\n"
            "        self._link",
            "self._link",
            by="http/test_false_witnesses.py::"
            "test_a_middleware_that_sends_again_cannot_hide_the_first_sending",
        ),
        "a connection at rest is taken without a look": Break(
            f"{_DIRECT}._at_hand",
            "not connection.pending()",
            "True",
            by="http/test_hostile.py::test_an_answer_before_any_request_reaches_no_call "
            "http/test_connection_reuse.py::test_row13_events_on_an_idle_connection_affect_no_call",
        ),
        "a connection of a session is used without a look": Break(
            "_http.session:_Exchange._note_sending",
            "if self._sends:\n            self._inspect(connection)",
            "pass",
            by="http/test_connection_reuse.py::"
            "test_row13_events_on_an_idle_connection_affect_no_call",
        ),
        "the beginning of another answer is overlooked": Break(
            "_http.connections:Connection.is_clean",
            "and parser.feed_eof() is None",
            "",
            by="http/test_connection_reuse.py::"
            "test_the_rest_of_an_answer_that_had_begun_reaches_no_other_call",
        ),
        "the rest of a cancelled request is sent": Break(
            "_http.session:SessionTransport.exchange",
            "if exchange.is_sending() or not _is_whole(reply):",
            "if False:",
            by="http/test_unsent.py::"
            "test_a_cancelled_upload_is_not_sent_to_its_end_and_leaves_no_socket",
        ),
        "a dirty connection is reused": Break(
            f"{_DIRECT}._clean",
            "elif pending():",
            "elif False:",
            by="http/test_hostile.py::test_an_answer_on_a_pooled_connection_reaches_no_call",
        ),
        "data that answers no request is read": Break(
            "_http.connections:Connection.data_received",
            "(data and body is not None and body.is_eof())",
            "False",
            by="http/test_connection_reuse.py::"
            "test_row13_events_on_an_idle_connection_affect_no_call",
        ),
        "an answer whose connection was reset is complete": Break(
            "_http.connections:Connection.connection_lost",
            "if exc is None and",
            "if",
            by="http/test_hostile.py::test_a_body_that_ends_with_a_reset_is_not_complete",
        ),
        "a connection that was given up is kept": Break(
            "_http.connections:Connections.end",
            "if not (whole and connection.is_clean()):",
            "if False:",
            by="http/test_cancellation.py::test_cancelled_while_the_server_has_the_request",
        ),
        "a late sweep hits a released connection": Break(
            "_http.connections:Connections.end",
            "self.working.discard(connection)",
            "pass",
            by="http/test_hostile.py::test_a_finished_exchange_is_never_considered_late",
        ),
        "what failed after the write was not sent": Break(
            f"{_DIRECT}.exchange",
            'return maybe("the response was lost", kind)',
            'return not_sent(TransportError("lost"), kind)',
            by="http/test_action_table.py::test_maybe_ends_a_once_only_operation_as_ambiguous",
        ),
    }
)
