"""Checks the types of the code in the README and the pages: `python -m tests.docs.typed`.

It is separate from the tests because it is only fast after the package itself was checked.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.shown import ROOT, blocks


def write_out(folder: Path) -> list[Path]:
    """Write each block of Python to its own file, or to the file that its caption names."""
    written: dict[Path, str] = {}
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for number, block in enumerate(blocks(page.read_text("utf-8"))):
            if block.language == "python":
                name = block.caption or f"{page.stem}_{number}.py"
                written[folder / name] = written.get(folder / name, "") + block.text
    for path, text in written.items():
        path.write_text(text, "utf-8")
    return list(written)


def main() -> int:
    """Return mypy's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_out(Path(folder))
        command = [sys.executable, "-m", "mypy", *map(str, files)]
        search = {**os.environ, "MYPYPATH": f"{folder}{os.pathsep}{ROOT}"}
        return subprocess.run(command, cwd=ROOT, env=search, check=False, timeout=300).returncode  # noqa: S603 - our own interpreter


if __name__ == "__main__":
    sys.exit(main())
