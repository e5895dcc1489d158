"""The site, made by ``make docs`` of the same pages that are read in the checkout.

The sources begin at the checkout's root, so that a link from one page to another, to the README or to a file of code
leads to the same place here as there. `pages.py` beside this does what Sphinx has no option for.
"""

import re
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "session_store"
author = "session_store contributors"
project_copyright = author
package = (ROOT / "session_store/__init__.py").read_text()
version = release = re.findall(r'^__version__ = "(.*)"$', package, re.MULTILINE)[0]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "pages",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "*.md", "examples/*/README.md", "benchmarks/README.md"]
exclude_patterns = [".*", "build", "dist"]

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
suppress_warnings = ["myst.header"]  # a page may begin with a sentence, and go from ## to ####

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
add_module_names = False
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "any"
smartquotes_action = "D"  # a dash where a docstring has one; quotes as they are typed
nitpicky = True
nitpick_ignore = [("py:class", "session_store.interface.values.AnyTurn")]  # only a default: callers pass a turn or None

html_theme = "furo"
html_title = f"session_store {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_extra_path = ["_root"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it is fetched, which a browser refuses where the site is a folder
html_theme_options = {"navigation_with_keys": True}
lexers["mermaid"] = TextLexer()  # GitHub draws it, the site shows its text
pygments_style = "tango"
pygments_dark_style = "github-dark"
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_only_copy_prompt_lines = True
