"""The fleet that the README and the pages use."""

import json
from typing import Any

from tests.docs.shown import ROOT

FLEET: list[dict[str, Any]] = json.loads((ROOT / "docs" / "fleet.json").read_text("utf-8"))
