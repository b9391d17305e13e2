"""The documentation as a site: `make docs`. Its pages ask no other host for anything.

Built from the root of the repository: links out of this folder lead to pages too, and `docs/search.md` does not become
`search.html`, which is the page that Sphinx searches with.
"""

from sphinx.application import Sphinx

project = "surrogate_nas"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
PARTS = ("", "howto/", "explanation/", "results/")
include_patterns = [*(f"docs/{part}*.md" for part in PARTS), "data/*/README.md"]
root_doc = "docs/index"
myst_heading_anchors = 4

html_theme = "furo"
html_title = project
html_additional_pages = {"index": "to_front_page.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_copyright = False

default_role = "code"  # of docstrings
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
python_display_short_literal_types = True
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def setup(app: Sphinx) -> None:
    """Napoleon takes what stands before a colon for a type, in the docstrings of attributes: theirs stay as written."""
    written: dict[str, list[str]] = {}

    def keep(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
        if what in ("attribute", "property"):
            written[name] = list(lines)

    def restore(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
        lines[:] = written.pop(name, lines)

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
