"""Show pictures in the colours of the page's theme.

Diagrams are written into their pages. A photograph `x.png` with an `x-dark.png` beside it becomes
both of them, of which the theme shows one. Pages refer to either as Markdown images, which also
works if pages are read without a build.
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
        elif uri.endswith(".png"):
            _pair(app, image)


def _pair(app: Sphinx, image: nodes.image) -> None:
    dark = str(image["uri"]).replace(".png", "-dark.png")
    if not (Path(app.srcdir) / dark).is_file():
        return
    other = image.copy()
    # The original is known to the builder already, which copies the files that it knows.
    other["uri"], other["candidates"] = dark, {"*": dark}
    app.env.images.add_file(app.env.docname, dark)
    image["classes"] = [*image["classes"], "only-light"]
    other["classes"] = [*other["classes"], "only-dark"]
    image.parent.insert(image.parent.index(image) + 1, other)


def setup(app: Sphinx) -> dict[str, Any]:
    """Process each page once it is read."""
    app.connect("doctree-read", _inline)
    return {"parallel_read_safe": True}
