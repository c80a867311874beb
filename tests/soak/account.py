"""Every effect accounted for: the reports of the calls compared with what the server did.

Each write of the soak contains a unique number, in the name, slug or blueprint that it sets or in
its device's id, so each effect identifies its call.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

DONE = frozenset({"ok", "applied"})
NOT_DONE = frozenset({"not-done", "failed", "held"})
OPEN = frozenset({"ambiguous", "cancelled", "unknown", "cut"})
"""The possible reports of a call; nothing is claimed about `OPEN` ones."""

_NUMBER = re.compile(r"(?:new|name|slug|bp)-([0-9]+)")


def number_of(effect: Mapping[str, Any]) -> int | None:
    """Return the number of the call that caused an effect, or None if the effect contains none."""
    said = [effect["device_id"], *(str(value) for value in effect["change"].values())]
    numbers = {int(found[1]) for text in said if (found := _NUMBER.fullmatch(text))}
    return numbers.pop() if len(numbers) == 1 else None


def problems(told: Iterable[Mapping[str, Any]], effects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return every report that is untrue.

    A row of `told` is `{"call": number, "kind": operation, "told": word}`.
    """
    done: Counter[int] = Counter()
    found: list[str] = []
    for effect in effects:
        number = number_of(effect)
        if number is None:
            found.append(f"an effect of nobody: {json.dumps(effect)}")
        else:
            done[number] += 1
    for row in told:
        number, word, count = row["call"], row["told"], done.pop(row["call"], 0)
        name = f"{row['kind']} {number}, told as {word} ({row.get('error') or 'no error'})"
        if word not in DONE | NOT_DONE | OPEN:
            found.append(f"{name}: no word that is known")
        if word in DONE and not count:
            found.append(f"{name}: nothing was done")
        if word in NOT_DONE and count:
            found.append(f"{name}: it was done")
        if row["kind"] == "generate_config" and count > 1:
            found.append(f"{name}: it was done {count} times")
    found += [f"call {number} was told by nobody, and did something" for number in done]
    return found
