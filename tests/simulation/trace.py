"""A log of events in order of time, as readable lines."""

from typing import Any

import attrs


@attrs.define
class Trace:
    """Stores events as they are, and formats them only when they are read."""

    entries: list[tuple[float, str, str, tuple[Any, ...]]] = attrs.field(factory=list)

    def tell(self, at: float, who: str, text: str, *values: Any) -> None:
        """Record a line; `text` has a `{}` for each of the values, which must not change."""
        self.entries.append((at, who, text, values))

    def lines(self) -> list[str]:
        """Return the lines sorted by time; those of the same time keep their order."""
        return [
            f"{at:12.4f}  {who:<10} {text.format(*values)}"
            for at, who, text, values in sorted(self.entries, key=lambda entry: entry[0])
        ]
