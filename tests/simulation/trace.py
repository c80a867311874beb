"""What happened when, in lines that people can read."""

from typing import Any

import attrs


@attrs.define
class Trace:
    """Keeps what it is told as it is, and makes lines of it only when it is read."""

    entries: list[tuple[float, str, str, tuple[Any, ...]]] = attrs.field(factory=list)

    def tell(self, at: float, who: str, text: str, *values: Any) -> None:
        """Take a line; `text` has a `{}` for each of the values, which must not change."""
        self.entries.append((at, who, text, values))

    def lines(self) -> list[str]:
        """Return the lines by time; what came at one time stays in the order it was told in."""
        return [
            f"{at:12.4f}  {who:<10} {text.format(*values)}"
            for at, who, text, values in sorted(self.entries, key=lambda entry: entry[0])
        ]
