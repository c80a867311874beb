"""Compares the reports of a fleet run with what happened, after each session and at the end."""

from collections.abc import Iterator

from enapter_async.fleet import RunAbortedError
from tests.simulation.network import seems_done
from tests.simulation.papers import DONE, ENDS, INTENT, read_journal
from tests.simulation.story import LEEWAY, check_pauses, check_spacing
from tests.simulation.witness import Known, Session, Witness
from tests.simulation.world import Asked, Effect, short, wanted_by

COMMIT = 0.05
"""The longest time, in seconds, that a journal takes to write one batch."""
LONGEST_PAUSE = 120.0
"""The limit of a client's pause: the default of its retry policy."""


class Judge(Witness):
    """A witness that can say, in the end, which reports were untrue."""

    # After each session.

    def over(self, session: Session, now: float) -> None:
        """Check what a session left behind."""
        session.over_at = now
        blame = self.story.blame
        papers = read_journal(self.journal) if self.job.journal else {}
        for asked, known in session.ends.items():
            paper = papers.get(asked)
            if not self.job.journal:
                continue
            last = paper.last if paper is not None else ""
            before = session.standing.get(asked, "")
            # An intent without an outcome means "unknown"; an item that never started keeps its
            # state.
            untouched = known.state == "held" or known.error in ("LeftUnknownError", "StaleError")
            right = {known.state, before} if untouched else {known.state}
            if session.how in ("killed", "full disk"):
                right |= {INTENT, before}
            if last not in right:
                blame(
                    now,
                    f"{self.items[asked]}: told {known.state}, journalled {paper and paper.kinds}",
                )
        if session.how == "killed":
            return
        told = [self.asked_in(each) for each in session.told]
        if session.how in ("over", "cut", "full disk") and told != [
            each for each, _ in session.order
        ]:
            blame(now, f"{len(session.order)} outcomes, and {len(told)} of them told")
        self._check_counts(session, now)
        self._check_abort(session, now)

    def _check_counts(self, session: Session, now: float) -> None:
        counts = dict.fromkeys(ENDS, 0)
        for asked in self.items:
            known = session.ends.get(asked)
            if known is not None:
                counts[known.state] += 1
                continue
            end = self.end_of(session, asked)
            if end:
                counts[end] += 1
        if session.report is None or not session.entered:
            return
        told = {str(state): number for state, number in session.report.counts.items()}
        if told != counts:
            blamed = {
                each: (told[each], counts[each]) for each in counts if told[each] != counts[each]
            }
            self.story.blame(now, f"the report counts otherwise: {blamed} (told, happened)")
        if session.report.complete and sum(counts.values()) != len(self.items):
            self.story.blame(now, f"told as complete with {sum(counts.values())} items")
        if session.how == "over" and not session.asked_to_stop and not session.report.stopped:
            missing = [item for item in self.items.values() if not self._final(session, item.asked)]
            if missing:
                self.story.blame(now, f"the run is over, and nothing is told of {missing[0]}")

    def _final(self, session: Session, asked: Asked) -> bool:
        known = session.ends.get(asked)
        if known is None:
            return bool(self.end_of(session, asked))
        if known.state != "held" or known.error == "StaleError":
            return True
        item = self.items[asked]
        return any(
            self.end_of(session, other.asked) not in DONE
            for other in self.items.values()
            if other.index == item.after
            or (other.asked.address == asked.address and other.index < item.index)
        )

    def _check_abort(self, session: Session, now: float) -> None:
        """Compute independently whether a criterion is met."""
        if session.report is None:
            return
        criteria = self.job.abort or ()
        criteria = criteria if isinstance(criteria, tuple) else (criteria,)
        executed, failed, unknown, timed_out, lost, met = 0, 0, 0, 0, 0, False
        for asked, known in session.order:
            if known.state not in ("applied", "failed", "unknown"):
                continue
            if known.error == "LeftUnknownError":
                continue
            executed += 1
            missing = known.error == "NotFoundError" or (
                known.error == "AmbiguousOutcomeError" and asked.verb == "delete"
            )
            lost = lost if lost >= 3 else lost + 1 if missing else 0
            failed += known.state == "failed"
            unknown += known.state == "unknown"
            timed_out += known.error == "DeadlineExceededError"
            bad = {"failed": failed, "unknown": unknown, "all": failed + unknown}
            met = met or any(
                executed >= each.min_executed
                and {**bad, "timed_out": timed_out}[each.failure_type] * 100
                >= each.threshold_percentage * executed - LEEWAY
                for each in criteria
            )
        stopped = session.report.stopped
        other_server = "fit no schema" in str(stopped) or lost >= 3  # consecutive 404s
        if isinstance(stopped, RunAbortedError) and not met and not other_server:
            self.story.blame(now, f"the run was aborted, and no criterion is met: {stopped}")
        if met and stopped is None:
            self.story.blame(now, "a criterion for aborting is met, and the run went on")
        if met:
            self.story.count("aborts")

    @property
    def _regenerates(self) -> bool:
        return "regenerate" in (self.job.ambiguous, self.job.policy.on_ambiguous)

    # In the end.

    def judge(self) -> None:
        """Compare every outcome with everything that happened in the story."""
        for session in self.sessions:
            for asked, known in session.ends.items():
                for lie in self._lies(session, asked, known):
                    self.story.blame(
                        known.at, f"{self.items[asked]}: told {known.state}, and {lie}"
                    )
            sends = [each for each in self.story.network.sends if each.session == session.number]
            check_pauses(self.story, sends, LONGEST_PAUSE)
            check_spacing(self.story, sends, self.job.pacing.max_rate, commit=COMMIT)
        for asked in self.items:
            effects = self._effects(asked)
            if asked.once and len(effects) > 1 and not self._regenerates:
                self.story.blame(
                    effects[1].at, f"{self.items[asked]} was done {len(effects)} times"
                )

    def _lies(self, session: Session, asked: Asked, known: Known) -> Iterator[str]:
        sends = [each for each in self.sends[asked] if each.number < known.sends]
        mine = [each for each in sends if each.session == session.number]
        numbers = {each.number for each in mine}
        done = [each for each in self._effects(asked) if each.send in numbers]
        earlier = {each.number for each in sends} - numbers
        done_earlier = [each for each in self._effects(asked) if each.send in earlier]
        if known.state == "applied":
            yield from self._not_applied(session, asked, known, done)
        elif known.state in ("unchanged", "absent"):
            if not self._held(session, asked, known.at):
                yield "at no moment was it so"
        elif known.state in ("failed", "held"):
            if done:
                yield f"it was done at {done[0].at:.3f}"
            elif done_earlier:
                yield f"an earlier session had it done at {done_earlier[0].at:.3f}"
        elif not (
            any(each.unsure for each in sends)
            or self._was_intended(session, asked)
            or seems_done(asked.verb, sends)
        ):
            yield "it was never sent, or surely refused each time"

    def _not_applied(
        self, session: Session, asked: Asked, known: Known, done: list[Effect]
    ) -> Iterator[str]:
        if asked.once:
            if known.secret not in [each.secret for each in done]:
                yield f"nobody minted {known.secret or 'anything'}"
            if self.job.credentials and (asked.address, known.secret) not in self._kept():
                yield f"{known.secret} of {short(asked.address)} is not kept"
            return
        if not self._held(session, asked, known.at):
            yield "at no moment was it so"
        if not known.settled and not done:
            yield "no request of this session did it"

    def _held(self, session: Session, asked: Asked, end: float) -> bool:
        """Return whether a device was as wanted, at a moment of the run or as a read showed it."""
        looked = [
            each.as_of
            for each in self.story.network.sends
            if each.as_of is not None
            and each.session == session.number
            and each.asked.address == asked.address
        ]
        start = min([session.began, *looked])
        return self.story.world.ever(asked.address, start, end, wanted_by(asked))

    def _was_intended(self, session: Session, asked: Asked) -> bool:
        """Return whether an earlier session wrote only an intent for it."""
        return session.standing.get(asked) in (INTENT, "unknown")
