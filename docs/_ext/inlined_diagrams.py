"""Write the diagrams into their pages, so that they take the page's colours in either theme.

Pages refer to them as Markdown images, which also works if pages are read without a build.
"""

from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.application import Sphinx

_FOLDER: Final = "images/"


def _inline(app: Sphinx, doctree: nodes.document) -> None:
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        uri = str(image["uri"])
        if uri.startswith(_FOLDER) and uri.endswith(".svg"):
            app.env.note_dependency(uri)
            picture = (Path(app.srcdir) / uri).read_text("utf-8")
            html = f'<div class="wide">{picture}</div>'
            image.replace_self(nodes.raw("", html, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Process each page once it is read."""
    app.connect("doctree-read", _inline)
    return {"parallel_read_safe": True}
