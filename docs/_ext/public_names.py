"""Link each name in a docstring or a signature to its public name.

In a docstring, and in the code of a page's prose, `UpdateDevice` is a link if it is a public name,
and plain code otherwise. In signatures, Python names the module in which a class is defined,
such as `enapter_async._http.retry.RetryPolicy`; readers know it as `enapter_async.RetryPolicy`.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

DOORS: Final = ("enapter_async", "enapter_async.fleet", "enapter_async.emulator")
"""The modules whose `__all__` is public; if two define a name, the first wins."""

_OURS: Final = "enapter_async."
_METHOD: Final = re.compile(r"client\.([a-z]+)\.([a-z_]+)")
_CALLED: Final = re.compile(r"([A-Za-z_][\w.]*)(?:\(.*\))?$", re.DOTALL)
_SOFT: Final = "name"
"""The kind of reference that single backquotes in a docstring create."""


@functools.cache
def _public_names() -> dict[str, str]:
    """Map each public object's place of definition, and its bare name, to its public name."""
    found: dict[str, str] = {}
    for door in DOORS:
        module = import_module(door)
        for name in module.__all__:
            thing = getattr(module, name)
            found.setdefault(name, f"{door}.{name}")
            if isinstance(home := getattr(thing, "__module__", None), str):
                found.setdefault(f"{home}.{name}", f"{door}.{name}")
    return found


def _candidates(node: pending_xref, known: Iterable[str]) -> Iterator[str]:
    public = _public_names()
    target = str(node["reftarget"]).removesuffix("()")
    if target in public:
        bare = node.get("py:module")
        if "." not in target and bare:
            yield f"{bare}.{target}"
        yield public[target]
    head, _, tail = target.rpartition(".")
    if head in public:
        yield f"{public[head]}.{tail}"
    # A method or a field that is named inside its own class.
    if "." not in target and (inside := node.get("py:class")):
        yield f"{node.get('py:module')}.{inside}.{target}"
        yield f"{inside}.{target}"
    yield target
    # A class that is documented without being a public name.
    ending = [name for name in known if name.endswith(f".{target}")]
    if len(ending) == 1 and target[:1].isupper():
        yield ending[0]


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.TextElement
) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    objects = env.domains.python_domain.objects
    for name in _candidates(node, objects):
        if (entry := objects.get(name)) is not None:
            return make_refnode(
                app.builder, node["refdoc"], entry.docname, entry.node_id, [shown], name
            )
    if node["reftype"] == _SOFT or str(node["reftarget"]).startswith(_OURS):
        # No public object has this name: it is shown without a link.
        return shown
    # The package's type variables and aliases come as bare names.
    return shown if "." not in node["reftarget"] and node["reftype"] in ("class", "obj") else None


def _meant(code: str) -> str | None:
    """Return the public name that a piece of code in prose refers to, or None."""
    named = _CALLED.match(code)
    if named is None:
        return None
    name = named[1]
    if method := _METHOD.fullmatch(name):
        noun = method[1]
        return f"{DOORS[0]}.api.{noun}.{noun.capitalize()}.{method[2]}"
    if name.startswith("client."):
        return f"{DOORS[0]}.Client.{name.rpartition('.')[2]}"
    if name.startswith("fleet."):
        return f"{DOORS[0]}.{name}"
    return _public_names().get(name) if name[:1].isupper() else None


def _link_code(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn code in prose into a link if it is a public name."""
    objects = app.env.domains.python_domain.objects
    for code in list(doctree.findall(nodes.literal)):
        if isinstance(code.parent, nodes.reference | nodes.title | pending_xref):
            continue
        entry = objects.get(_meant(code.astext()) or "")
        if entry is not None and entry.docname != docname:
            link = make_refnode(app.builder, docname, entry.docname, entry.node_id, [])
            code.replace_self(link)
            link += code


class _NameRole(PyXRefRole):
    """A name in single backquotes, looked up among the Python names."""

    def process_link(
        self,
        env: BuildEnvironment,
        refnode: nodes.Element,
        has_explicit_title: bool,
        title: str,
        target: str,
    ) -> tuple[str, str]:
        """Make it a name of the Python domain, whatever the page's domain is."""
        shown = super().process_link(env, refnode, has_explicit_title, title, target)
        refnode["refdomain"], refnode["reftype"] = "py", _SOFT
        return shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the role of single backquotes, and the links from private modules to public names."""
    app.add_role(_SOFT, _NameRole())
    app.connect("missing-reference", _resolve)
    app.connect("doctree-resolved", _link_code)
    return {"parallel_read_safe": False}
