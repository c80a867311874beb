"""How the package is broken on purpose: a break replaces text in the source of one function."""

import contextlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import attrs


class NotThereError(Exception):
    """The text that a break replaces does not occur exactly once in its function."""


def _ids(text: str) -> tuple[str, ...]:
    return tuple(f"tests/{each}" for each in text.split())


@attrs.frozen
class Break:
    """The replacement of text in one function, named `module:Class.method` or `module:function`.

    `by` names the tests that must catch it, below `tests/`; `simulated` says that the simulation
    must find it, too.
    """

    where: str
    old: str
    new: str
    by: tuple[str, ...] = attrs.field(converter=_ids, kw_only=True)
    simulated: bool = attrs.field(default=False, kw_only=True)

    def place(self) -> tuple[Any, Any, str]:
        """Return the module, the class or module that contains the function, and its name.

        Raises:
            NotThereError: there is no such function.
        """
        module_name, _, path = self.where.partition(":")
        *owners, name = path.split(".")
        try:
            module = importlib.import_module(f"enapter_async.{module_name}")
            owner: Any = module
            for each in owners:
                owner = getattr(owner, each)
            vars(owner)[name]
        except (ImportError, AttributeError, KeyError):
            raise NotThereError(f"there is no {self.where}") from None
        return module, owner, name

    def changed(self) -> str:
        """Return the function's source with the text replaced.

        Raises: NotThereError: the text does not occur there exactly once.
        """
        _, owner, name = self.place()
        source = textwrap.dedent(inspect.getsource(vars(owner)[name]))
        if source.count(self.old) != 1:
            raise NotThereError(f"{self.where} does not hold this once: {self.old}")
        return source.replace(self.old, self.new)

    def apply(self) -> Callable[[], None]:
        """Break the package; return the function that restores it."""
        module, owner, name = self.place()
        whole = vars(owner)[name]
        made: dict[str, Any] = {}
        exec(compile(self.changed(), self.where, "exec"), vars(module), made)  # noqa: S102 - our own source, changed in one place
        # Modules that imported the function by name are broken with it.
        holders = [owner]
        if owner is module:
            holders += [
                other
                for other_name, other in sys.modules.items()
                if other_name.startswith(("enapter_async", "tests."))
                and vars(other).get(name) is whole
            ]

        def put(function: Any) -> None:
            for holder in dict.fromkeys(holders):
                setattr(holder, name, function)

        put(made[name])
        return lambda: put(whole)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Break the package, and restore it afterwards."""
        mend = self.apply()
        try:
            yield
        finally:
            mend()
