"""How fast jobs and calls are against servers that limit, each in its own way.

    python -m benchmarks.limits                     # all of it, about a quarter of an hour
    python -m benchmarks.limits --smoke             # a few rows, half a minute; what CI runs
    python -m benchmarks.limits --only minute --seeds 1

All but three rows run on virtual time, so that a loaded machine changes only the duration of the
run. Exit code 0: within the bounds. 1: not.
"""

from collections.abc import Sequence

from benchmarks.limits.measure import SEEDS, SMOKE_SEEDS, run
from benchmarks.parts import begin, command_line, finish


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = command_line("limits", __doc__)
    parser.add_argument("--smoke", action="store_true", help="a few rows, without botocore")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only rows whose name contains this text"
    )
    parser.add_argument("--seeds", type=int, help="number of seeds, from 1 on")
    parser.add_argument(
        "--processes", type=int, help="number of processes; default: one for each core"
    )
    options = parser.parse_args(arguments)
    seeds: Sequence[int] = SMOKE_SEEDS if options.smoke else SEEDS
    if options.seeds is not None:
        seeds = range(1, options.seeds + 1)
    found = run(
        seeds=seeds,
        smoke=options.smoke,
        only=options.only,
        processes=options.processes,
    )
    return finish(found, options)


if __name__ == "__main__":
    begin(main)
