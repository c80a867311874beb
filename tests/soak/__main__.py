"""`python -m tests.soak --seconds 60`: nothing grows or complains, and every effect is reported.

A server with random faults runs in one process, and a client with every kind of traffic in another,
with `-X dev -W error`. Between windows of traffic, while nothing is in flight, the client's process
is sampled; the samples of the second and the last quarter of the windows are compared. At the end
each call's report is compared with the server's effects. Needs Linux's /proc. Exit code 0 means
that all of this holds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from tests.soak.account import problems

ALLOWED = {"rss_kib": 4096.0, "traced_kib": 256.0, "descriptors": 24.0, "tasks": 0.0}
"""How much the last quarter's median may exceed the second quarter's.

File descriptors vary with the pool's connections; there may be as many as the gate admits.
"""

DEVELOPING = [sys.executable, "-X", "dev", "-W", "error"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return soak(given.seconds, given.seed, Path(folder))


def soak(seconds: float, seed: int, folder: Path) -> int:
    effects = folder / "effects.jsonl"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.server", str(seed), str(effects)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        began = time.monotonic()
        client = subprocess.run(
            [*DEVELOPING, "-m", "tests.soak.traffic", url, str(seconds), str(seed), str(folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds * 2 + 120,
            check=False,
        )
        took = time.monotonic() - began
        arrivals = int(server.communicate("", timeout=60)[0])
    finally:
        server.kill()
        server.wait()
    told, samples = rows(folder / "told.jsonl"), rows(folder / "samples.jsonl")
    done = rows(effects)
    show(samples)
    words = Counter(row["told"] for row in told)
    print(f"{took:.0f} s, {arrivals} arrivals, {len(told)} writes told, {len(done)} effects")
    print("told as: " + ", ".join(f"{word} {count}" for word, count in sorted(words.items())))
    wrong = [*grown(samples), *problems(told, done)]
    if client.returncode or client.stderr or client.stdout:
        said = (client.stderr + client.stdout).strip()
        wrong.append(f"the client ended with {client.returncode}, and said: {said}")
    for problem in wrong[:20]:
        print(f"WRONG: {problem}")
    print("wrong" if wrong else "flat, quiet, and every effect accounted for")
    return 1 if wrong else 0


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def quarters(samples: list[dict[str, Any]], key: str) -> tuple[float, float]:
    """Return the medians of the second and of the last quarter."""
    quarter = len(samples) // 4
    values = [sample[key] for sample in samples]
    return median(values[quarter : 2 * quarter]), median(values[-quarter:])


def grown(samples: list[dict[str, Any]]) -> list[str]:
    if len(samples) < 8:
        return [f"there are {len(samples)} samples, too few to compare"]
    found = []
    for key, allowed in ALLOWED.items():
        before, after = quarters(samples, key)
        if after > before + allowed:
            found.append(f"{key} grew from {before:.0f} to {after:.0f}")
    return found


def show(samples: list[dict[str, Any]]) -> None:
    if len(samples) < 8:
        return
    print(f"{'':14}{'2nd quarter':>14}{'last quarter':>14}")
    for key in ("calls", "rss_kib", "traced_kib", "descriptors", "connections", "tasks"):
        before, after = quarters(samples, key)
        print(f"{key:14}{before:>14.0f}{after:>14.0f}")


if __name__ == "__main__":
    sys.exit(main())
