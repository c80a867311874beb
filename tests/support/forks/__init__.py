"""Starts commands as forks of a Python that has already imported the package.

To start Python and import the command line takes 0.4 s of processor time, which is more than most
commands need for their work, and the tests start several hundred. So each process of pytest starts
one server (see `server`), which has imported everything and has one thread and no event loop; a
command is a fork of it. It is a process of its own, with the caller's descriptors, folder,
environment, limits and signals, it runs the installed program, and it ends as every Python does.
What such a test no longer shows is the import itself: that a command imports all that it uses, and
how Python starts. Whatever differs in what is read at the start (a variable such as PYTHONWARNINGS
or LC_ALL, a closed standard stream, another option of Python) is therefore noticed, and that
command is started as usual; `tests/cli/test_app.py` starts each noun of the installed program, and
everything is started as usual on other systems than Linux. There is no job control: a signal
reaches a command through its client alone.
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
"""How the names of variables begin that the interpreter and C libraries read when they start."""
