"""Starts commands as forks of a Python that has already imported the package.

Starting Python and importing the command line takes 0.4 s of processor time, which is more than
most commands need for their work, and the tests start several hundred. So each process of pytest
starts one server (see `server`), which has imported everything and has one thread and no event
loop; a command is a fork of it. It is a process of its own, with the caller's descriptors, folder,
environment, limits and signals; it runs the installed program; and the caller sees its exit code or
the signal that ended it. What such a test no longer shows is how Python starts, what an import
needs and costs, and how Python clears its modules at the end. (Imports have no cycles, so that
their order does not matter; `tests/test_house.py` checks it.) Whatever differs in what is read at
the start (a variable such as PYTHONWARNINGS or LC_ALL, a closed standard stream, an option of
Python) is therefore noticed, and that command is executed as usual; on systems other than Linux,
all are. `tests/cli/test_forks.py` compares both. Some are always started as usual: the version, the
installed program with a full disk, a missing library, few descriptors and no standard input,
another locale, and a job with workers. There is no job control: a signal reaches a command through
its client alone, and after SIGKILL the command ends a moment later than its client.
"""

from typing import Final

OF_THE_START: Final = (
    "COVERAGE",
    "GCONV",
    "LANG",
    "LC_",
    "LD_",
    "MALLOC",
    "OPENSSL",
    "PYTHON",
    "SSL",
)
"""Prefixes of the variables that the interpreter and C libraries read when they start."""
