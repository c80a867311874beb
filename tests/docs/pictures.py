"""Draws the documentation's pictures of the demo and its report: `python -m tests.docs.pictures`.

It runs the demo once, with a fixed seed, on this machine only. The report is captured in a headless
Chromium, in light and in dark. Only the times differ from run to run.
"""

import asyncio
import base64
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

from tests.docs.shown import ROOT
from tests.integrations.browser import CHROMIUM, NO_CHROMIUM, Tab, chromium

DOCS: Final = ROOT / "docs"
PAGE: Final = "demo.html"
SIZE: Final = (1200, 1512)
"""The part of the report that is shown: its top, to the end of the pace."""
PICTURES: Final = {"light": "report.png", "dark": "report-dark.png"}


def run_demo(folder: Path) -> None:
    """Write the demo's picture to the documentation, and its report to a folder."""
    # The report shows the command, so it must not name a place on this machine.
    demo = [sys.executable, "-m", "enapter_async", "demo", "--report", PAGE, "--svg", "demo.svg"]
    subprocess.run(demo, cwd=folder, check=True, timeout=120)  # noqa: S603 - our own words
    shutil.copyfile(folder / "demo.svg", DOCS / "demo.svg")


async def photograph(folder: Path) -> None:
    """Write a picture of the top of the report for each theme."""
    async with chromium(folder / "browser") as tab:
        width, height = SIZE
        await tab.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        await tab.ask("Emulation.setScrollbarsHidden", hidden=True)
        for theme, name in PICTURES.items():
            await _choose(tab, theme)
            await tab.open((folder / PAGE).as_uri())
            shot = await tab.ask("Page.captureScreenshot", format="png")
            with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as image:
                flat = image.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE)
                flat.save(DOCS / "images" / name, optimize=True)  # a third of the size
        assert tab.complaints == []


async def _choose(tab: Tab, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    await tab.ask("Emulation.setEmulatedMedia", media="", features=features)


def main() -> None:
    """Draw the pictures."""
    if CHROMIUM is None:
        sys.exit(NO_CHROMIUM)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        run_demo(folder)
        asyncio.run(photograph(folder))


if __name__ == "__main__":
    main()
