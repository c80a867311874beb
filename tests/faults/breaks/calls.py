"""Breaks of one call: its promises, its answers and its secrets."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults.breaks.breaking import Break

_CONCLUDE: Final = "_http.settlement:Settlement.conclude"
_CARRY_OUT: Final = "fleet.execution:Item.carry_out"
_SESSION: Final = "_http.session:SessionTransport"
_NEVER: Final = "except ZeroDivisionError:\n        raise\n    else:"
"""Replaces a `finally` whose effect is to be removed."""

CALLS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "a once-only operation is repeated after M": Break(
            "_http.retry:may_repeat",
            'return policy.on_ambiguous == "regenerate"',
            "return True",
            by="http/test_action_table.py::test_maybe_ends_a_once_only_operation_as_ambiguous",
            simulated=True,
        ),
        "a negative read is taken as failure": Break(
            _CONCLUDE,
            "found = doubt(call, state)",
            'if (found := doubt(call, state)).startswith("a read does"): return last',
            by="http/test_settlement.py::"
            "test_however_the_call_ends_an_invisible_effect_is_ambiguous",
            simulated=True,
        ),
        "a read that failed is taken as failure": Break(
            _CONCLUDE,
            "found = doubt(call, state)",
            'if (found := doubt(call, state)).startswith("it could not"): return last',
            by="http/test_settlement.py::test_a_reading_that_fails_settles_nothing",
            simulated=True,
        ),
        "whatever has a create's key is its work": Break(
            "_http.call:doubt",
            "settles is Settles.KEY and call.record.there != frozenset()",
            "False",
            by="http/test_settling.py::test_an_older_object_with_the_key_settles_nothing",
        ),
        "only the last attempt is asked whether it was uncertain": Break(
            _CONCLUDE,
            "for each in call.record.attempts if",
            "for each in call.record.attempts[-1:] if",
            by="http/test_settlement.py::"
            "test_row22_a_refusal_after_maybe_is_checked_before_it_is_reported",
        ),
        "a first 404 on DELETE is success": Break(
            _CONCLUDE,
            "if operation.repeat is Repeat.READ or not uncertain:",
            "if operation.repeat is Repeat.READ or not (uncertain or last.status == 404):",
            by="http/test_settlement.py::test_a_deletion_of_a_missing_device_is_reported",
            simulated=True,
        ),
        "a 404 is believed wherever it comes from": Break(
            "_http.settlement:Settlement._lives",
            "return self.evidence.lives(operation)",
            "return True",
            by="http/test_absence.py::test_without_a_known_api_a_404_proves_nothing",
        ),
        "a cache's answer is believed": Break(
            "_http.wire:Wire.read",
            "if fresh and reply.status in _BELIEVED and",
            "if False and",
            by="http/test_freshness.py::test_a_cached_answer_settles_nothing",
        ),
        "a settling read asks for no fresh answer": Break(
            "_http.pipeline:Pipeline._read_back",
            "fresh=True",
            "fresh=False",
            by="http/test_freshness.py::test_a_settling_read_requests_a_fresh_answer",
        ),
        "an old state settles a call": Break(
            "_http.call:doubt",
            "if state is None or newer else NOT_NEWER",
            "",
            by="http/test_freshness.py::test_a_state_older_than_the_write_settles_nothing "
            "http/test_freshness.py::"
            "test_a_device_without_a_time_settles_nothing_if_others_have_one",
        ),
        "the lag of good writes is not allowed for": Break(
            "_http.evidence:Evidence.note_write",
            "max(self.lag, date - moment.timestamp())",
            "self.lag",
            by="http/test_freshness.py::test_the_lag_of_earlier_writes_is_allowed_for",
        ),
        "any good status confirms a deletion": Break(
            "_http.evidence:confirmed_by",
            "if status != 200 or",
            "if False and",
            by="http/test_action_table.py::test_any_other_good_status_of_a_deletion_is_checked_by_a_read",
        ),
        "what was not confirmed is sent again without a look": Break(
            "_http.pipeline:Pipeline._may_ask_again",
            "call.still_there and",
            "",
            by="http/test_absence.py::"
            "test_an_unconfirmed_deletion_is_not_sent_again_if_it_cannot_be_read",
        ),
        "a proxy's 404 on DELETE is believed": Break(
            _CONCLUDE,
            "if last.absent and",
            "if last.status == 404 and",
            by="http/test_settlement.py::test_a_proxys_404_does_not_prove_that_a_device_is_gone",
            simulated=True,
        ),
        "Retry-After is ignored": Break(
            "limits.limiter:own_delay",
            "return (retry_after or 0.0) + ",
            "return ",
            by="http/test_delays.py::test_retry_after_is_a_floor_with_jitter_above_it",
            simulated=True,
        ),
        "a refusal counts as an attempt": Break(
            "_http.retry:drive",
            "(uncounted() if attempts > 1 else 0)",
            "0",
            by="http/test_pacing.py::test_a_call_refused_until_the_deadline_was_not_done",
        ),
        "a pause holds nobody else back": Break(
            "limits.controller:Controller._thaw",
            "self._pause(now)",
            "self._resume(now)",
            by="http/test_pacing.py::test_a_call_whose_turn_is_too_late_ends_with_nothing_sent",
        ),
        "all rush in after a pause": Break(
            "limits.controller:Controller.opens_at",
            "if self._probe is not None and self._probe.in_flight:",
            "if False:",
            by="http/test_pacing.py::test_after_a_pause_one_request_goes_first_then_more",
        ),
        "chance is taken for overload": Break(
            "limits.controller:Controller._count_in_trial",
            "if not trial.is_worse:",
            "if False:",
            by="limits/test_controller.py::test_random_refusals_slow_nothing_down_for_long",
        ),
        "a verdict of chance is never doubted": Break(
            "limits.controller:Controller._judge",
            "if claimed:",
            "if False:",
            by="limits/test_controller.py",
        ),
        "requests are not spaced": Break(
            "limits.controller:Controller._new_epoch",
            "rates = (self._max_rate, None if self._probing else self._rate)",
            "rates = (None if self._probing else self._rate,)",
            by="http/test_pacing.py::test_a_rate_is_kept",
            simulated=True,
        ),
        "a retry object is shared between calls": Break(
            "_http.retry:drive",
            "await retrying(once)",
            'await vars(drive).setdefault("kept", retrying)(once)',
            by="contract/test_retrying.py::test_each_failing_call_has_its_own_loop",
        ),
        "the deadline does not count waiting": Break(
            "_http.pipeline:Pipeline._attempt",
            "left = call.end - began",
            "left = 60.0",
            by="http/test_delays.py::test_the_deadline_cuts_an_attempt",
            simulated=True,
        ),
        "no time is kept back for settling": Break(
            "_http.retry:settle_reserve",
            "return left * SETTLE_SHARE if left < _AMPLE else SETTLE_SECONDS",
            "return 0.0",
            by="http/test_settlement.py::test_the_deadline_includes_the_settling_read",
        ),
        "two writers of one device": Break(
            "_http.keyed_lock:KeyedLock.try_take",
            "if key in self._waiting:",
            "if False:",
            by="http/test_pacing.py::test_two_writes_to_one_device_never_overlap",
            simulated=True,
        ),
        "a permit that comes to a cancelled call is lost": Break(
            "limits.limiter:AdaptiveLimiter.acquire",
            "self.dropped(place.result())",
            "pass",
            by="limits/test_limiter.py::test_a_cancelled_call_leaves_its_place_to_the_next",
        ),
        "a cancelled call does not end its permit": Break(
            "_http.pipeline:Pipeline._attempt",
            "limiter.dropped(permit)\n        raise",
            "raise",
            by="http/test_cancellation.py::test_cancelled_while_the_server_has_the_request",
            simulated=True,
        ),
        "a cancelled call does not give its turn back": Break(
            "_http.pipeline:Pipeline._take_turn",
            "finally:",
            _NEVER,
            by="http/test_cancellation.py::test_cancelled_while_the_server_has_the_request "
            "http/test_cancellation.py::test_row39_many_cancelled_calls_leak_nothing",
        ),
        "a turn that comes to a cancelled call is lost": Break(
            "_http.keyed_lock:KeyedLock.take",
            "elif not place.cancelled():",
            "elif False:",
            by="http/test_cancellation.py::test_row38_cancelled_in_the_moment_that_a_turn_comes",
        ),
        "half an answer is taken for a whole one": Break(
            "_http.envelope:unwrap",
            "if cut:",
            "if False:",
            by="http/test_wire.py::test_a_truncated_answer_is_not_complete_however_it_parses",
        ),
        "another device's answer is returned": Break(
            "_http.wire:Wire.read",
            "if operation.accepts(result) else",
            "if True else",
            by="http/test_settlement.py::test_row33_another_device_is_never_returned",
        ),
        "a portal's page is believed": Break(
            "_http.wire:Wire.read",
            "or _may_be_json(reply)",
            "or True",
            by="http/test_lost_secrets.py::"
            "test_an_answer_about_another_device_or_a_page_is_kept_too",
        ),
        "a 503 without Retry-After is a refusal": Break(
            "_http.wire:certainty_of",
            "refused = dated",
            "refused = True",
            by="http/test_action_table.py::test_maybe_is_sent_again",
        ),
        "a 408 is a refusal": Break(
            "_http.wire:certainty_of",
            "and status not in _GIVEN_UP",
            "",
            by="http/test_action_table.py::test_maybe_ends_a_once_only_operation_as_ambiguous",
        ),
        "what follows a write as after a form is a refusal": Break(
            "_http.wire:certainty_of",
            "refused = status in _LIVES_ELSEWHERE",
            "refused = True",
            by="http/test_redirects.py::test_an_action_that_answers_with_a_redirect_was_done",
        ),
        "strict types are off": Break(
            "converter.leaves:optional_string",
            "if isinstance(value, str) or value is None:",
            "if True:",
            by="converter/test_strictness.py::test_no_field_of_a_device_is_ever_coerced",
        ),
        "the cap on an answer's size is off": Break(
            "_http.transport:read_body",
            "if size > cap:",
            "if False:",
            by="http/test_payload_faults.py::test_an_endless_answer_is_cut",
        ),
        "a token leaks in a cause": Break(
            f"{_SESSION}.exchange",
            "failure = exchange.failure(error, connect, self._host)",
            "failure = exchange.failure(error, connect, self._host); "
            "failure.error.__cause__ = error",
            by="test_security.py::test_no_secret_is_shown_whatever_fails",
        ),
        "a hook is told the token": Break(
            "_http.pipeline:Pipeline.execute",
            "base_url = self.wire.base_url",
            "base_url = self.wire.base_url.with_query(self.wire.headers)",
            by="test_security.py::test_no_secret_is_shown_whatever_fails",
        ),
        "a server's echo of the token is quoted": Break(
            "_http.masking:Mask.text",
            "if not self._tokens:",
            "if True:",
            by="test_security.py::test_an_echoed_token_is_not_quoted",
        ),
        "what was answered while the process stood still is given up": Break(
            "_http.sweeper:Sweeper._sweep",
            "if stood_still and not exchange.spared:",
            "if False:",
            by="http/test_false_witnesses.py::"
            "test_an_answer_that_ends_with_its_connection_is_kept_even_if_the_loop_was_blocked",
        ),
        "a tunnel that was refused may have been used": Break(
            "_http.session:_Exchange.failure",
            "if self.sent:",
            "if True:",
            by="contract/test_session.py::test_a_tunnel_that_is_refused_was_not_sent",
        ),
        "a cancelled call shows what it had read": Break(
            "_http.pipeline:Pipeline.execute",
            "clear_frames(raised)\n        cancelled",
            "cancelled",
            by="test_frames.py::test_a_call_that_is_cut_shows_nothing",
        ),
        "an answer with a secret is quoted": Break(
            "_http.wire:Wire._refused",
            "if not errors and not (operation.answer.secret or operation.answer.concealed):",
            "if not errors:",
            by="http/test_payload_faults.py::test_an_answer_with_a_secret_is_not_excerpted",
        ),
        "a 404 at a site's path is believed without a read of that site": Break(
            "_http.evidence:Evidence.knows",
            "return (id(proof) if needed is proof else needed) in self.living",
            "return id(proof) in self.living",
            by="http/test_absence.py::test_a_404_at_a_sites_path_is_proven_only_by_that_site",
        ),
        "path segments are not escaped": Break(
            "_http.wire:_segment",
            'return quote(text, safe="")',
            "return text",
            by="contract/test_requests.py::"
            "test_a_segment_is_encoded_the_same_over_either_transport",
        ),
        "certificates are not looked at": Break(
            "_http.security:check_ssl_context",
            "if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:",
            "if False:",
            by="http/test_tls.py::test_a_context_that_does_not_verify_is_refused",
        ),
        "the credentials file is readable by the group": Break(
            "fleet.private_files:_make_private",
            "os.fchmod(descriptor, MODE)",
            "os.fchmod(descriptor, 0o640)",
            by="fleet/test_credentials.py::test_the_mode_is_0600_whatever_the_umask",
        ),
        "an old credentials file that others may read is taken": Break(
            "fleet.private_files:_problem_of",
            "if stat.S_IMODE(state.st_mode) != MODE:",
            "if False:",
            by="fleet/test_credentials.py::test_a_file_with_another_mode_is_refused",
        ),
    }
)
