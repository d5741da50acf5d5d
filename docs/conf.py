"""Sphinx: the pages in this directory, and the interface from its docstrings. ``make docs`` builds them."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

from levelup_ov import __version__  # noqa: E402

project = "levelup_ov"
release = __version__
extensions = ["sphinx.ext.autodoc", "from_code"]
needs_sphinx = "9.0"
exclude_patterns = ["_build"]
language = "en"
# Quotes and ellipses, but not dashes: ``--account`` is an option.
smartquotes_action = "qe"

# Every reference to a name of ours must lead somewhere; others' names have no pages here.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!levelup_ov\.).*"), (r"py:class", r"levelup_ov\.transport\.json_object\.T")]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"levelup_ov {release}"
html_show_copyright = False
html_copy_source = False
html_static_path = ["style"]
html_css_files = ["tables.css"]
