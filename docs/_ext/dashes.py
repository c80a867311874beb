"""Replace the two hyphens between an argument and its description by a dash."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def _set(_: Sphinx, doctree: nodes.document) -> None:
    for text in list(doctree.findall(nodes.Text)):
        if " -- " in text and not isinstance(text.parent, nodes.literal | nodes.literal_block):
            text.parent.replace(text, nodes.Text(text.replace(" -- ", " \N{EN DASH} ")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Process each page once it is read."""
    app.connect("doctree-read", _set)
    return {"parallel_read_safe": True}
