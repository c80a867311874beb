"""The tree of errors that the docstring draws is the tree of the classes."""

import re

from enapter_async.errors import EnapterError
from enapter_async.fleet import errors


def test_the_drawn_tree_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            indent, name = found.groups()
            path[len(indent) // 4 :] = [name]
            drawn[name] = path[-2] if len(path) > 1 else ""
    classes = {
        name: each
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, EnapterError)
    }
    own = {name for name, each in classes.items() if each.__module__ == errors.__name__}
    assert own <= drawn.keys()
    for name, parent in drawn.items():
        assert not parent or classes[name].__base__ is classes[parent]
