"""How the pages are built; `tox -e docs` builds them with every warning an error."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "napari-cellseg"
author = "napari-cellseg contributors"
copyright = "2026, napari-cellseg contributors"
version = release = installed_version("napari-cellseg").split("+")[0]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cyclopts.ext.sphinx",
    "tables",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "napari_sphinx_theme"
html_title = project
html_theme_options = {"github_url": "https://github.com/napari-cellseg/napari-cellseg"}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
