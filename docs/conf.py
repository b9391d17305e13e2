"""The documentation as a site: `make docs`. Its pages ask no other host for anything.

Built from the root of the repository, so that links out of this folder lead to pages too.
"""

project = "surrogate_nas"
extensions = ["myst_parser"]
PARTS = ("", "howto/", "reference/", "explanation/", "results/")
include_patterns = [*(f"docs/{part}*.md" for part in PARTS), "data/*/README.md"]
root_doc = "docs/index"
myst_heading_anchors = 4

html_theme = "furo"
html_title = project
html_additional_pages = {"index": "to_front_page.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_copyright = False
