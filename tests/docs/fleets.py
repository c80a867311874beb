"""The fleet that the README and the pages speak of."""

from typing import Any

FLEET: list[dict[str, Any]] = [
    {
        "id": f"dev-{number}",
        "name": f"Pump {number}",
        "slug": f"pump-{number}",
        "site_id": "site-1",
        "blueprint_id": "bp-1",
        "type": "STANDALONE",
        "authorized_role": "OWNER",
    }
    for number in range(1, 6)
]
