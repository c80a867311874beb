"""The promise of waves, across sessions: a first wave is verified before the next begins."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from tests.simulation.papers import DONE
from tests.simulation.world import Asked, wanted_by

if TYPE_CHECKING:
    from tests.simulation.witness import Session, Witness

CAREFUL: Final = 2
"""The number of waves that are read back, according to the rollout's documentation."""


def unpassed(
    witness: "Witness", session: "Session", wave: int, waves: Mapping[Asked, int]
) -> Iterator[str]:
    """Return what in the first waves blocks this wave; `waves` maps items to waves.

    A wave that did not pass, according to the journal, may be skipped if the job allows it.
    """
    accepted = session.refused if witness.job.accept_wave else frozenset[int]()
    for item in witness.items.values():
        number = waves.get(item.asked, wave)
        if number >= min(wave, CAREFUL) or number in accepted or number in session.accepted:
            continue
        end = witness.end_of(session, item.asked)
        noted = item.asked not in session.ends and witness.job.ambiguous == "skip"
        if end == "unknown" and item.asked.once and noted:
            continue
        if end not in DONE:
            yield f"wave {wave + 1} begins, and {item} of wave {number + 1} is {end or 'not over'}"
            return
        if end == "applied" and not item.asked.once and not _was_read_back(witness, item.asked):
            yield f"wave {wave + 1} begins, and {item} of wave {number + 1} was not read back"
            return


def _was_read_back(witness: "Witness", asked: Asked) -> bool:
    """Return whether a later read showed its values, or a later item made that unnecessary."""
    known = [each.ends[asked] for each in witness.sessions if asked in each.ends]
    applied = [each for each in known if each.state == "applied"]
    if not applied:
        return False
    wanted = wanted_by(asked)
    return _is_outdone(witness, asked) or any(
        send.asked.address == asked.address
        and send.asked.verb == "get"
        and send.at >= applied[0].at
        and send.as_of is not None
        and send.believable
        and wanted(witness.story.world.as_of(asked.address, send.as_of))
        for send in witness.story.network.sends
    )


def _is_outdone(witness: "Witness", asked: Asked) -> bool:
    """Return whether a later item of the device has since set the same fields, or deleted it."""
    index = witness.items[asked].index
    names = {name for name, _ in asked.fields}
    return any(
        other.index > index
        and other.asked.address == asked.address
        and (other.asked.verb == "delete" or names <= {name for name, _ in other.asked.fields})
        and any(
            other.asked in each.ends and each.ends[other.asked].state in DONE
            for each in witness.sessions
        )
        for other in witness.items.values()
    )
