"""How the documentation site is built: `sphinx-build -W --keep-going -n docs docs/_build`.

The build contacts no other machine.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from enapter_async import __version__  # noqa: E402 - the path above finds it

project = "enapter_async"
author = "the enapter_async authors"
project_copyright = "the enapter_async authors, Apache-2.0"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_line",
    "dashes",
    "inlined_diagrams",
    "public_names",
    "real_defaults",
]
exclude_patterns = ["_build", "examples"]
nitpicky = True
# Names documented elsewhere: Python's own, and those of the libraries used.
nitpick_ignore_regex = [
    ("py:.*", r"(aiohttp|contextlib|multidict|opentelemetry|starlette|yarl)\..*"),
    ("py:.*", r"(asyncio|collections|datetime|enum|os|pathlib|re|ssl|types|typing)\..*"),
]
default_role = "name"
smartquotes = False

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# A block that shows commands and what they print is copied without prompts and output.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"enapter_async {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b6e4f",
        "color-brand-content": "#0b6e4f",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5fd3a6",
        "color-brand-content": "#5fd3a6",
    },
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
