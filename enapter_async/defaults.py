"""Defaults and choices of a run's options, which the help of the command line shows, too."""

import enum
from typing import Final

AMBIGUOUS: Final = ("report", "regenerate", "skip")
"""What a resumed run does with a once-only operation whose outcome is unknown."""
MAX_PAUSE: Final = 900.0
"""How many seconds a run waits for a server that lets no request through."""
WAIT: Final = 60.0
"""How many seconds a command is followed to its end."""


class GuardMode(enum.StrEnum):
    """How a run checks devices before it changes them."""

    AUTO = "auto"
    """`each` for deletions, configurations and the first two waves; `wave` for the rest."""
    EACH = "each"
    """Each device is read directly before it is changed: one more request for each."""
    WAVE = "wave"
    """The fleet is read page by page before each wave."""
    NONE = "none"
    """Nothing is checked."""
