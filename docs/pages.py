"""What the site needs and Sphinx has no option for, so that the pages can stay plain Markdown.

A fence may have a title, the name of its file. A link to a file or folder of the checkout leads to a page that shows
it; one whose text is the name of a test, to that test. The sidebar is the links of the first page, in their order.
"""

import importlib
import pydoc
import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.directives.code import container_wrapper
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

LANGUAGES = {"python", "console", "sql", "ini", "json", "toml", "yaml", "text"}
LANGUAGE_OF = {".py": "python", ".mako": "mako", ".json": "json", ".ini": "ini", ".toml": "toml"}
TITLE = re.compile(r'title="([^"]+)"')
SOURCES = "source"
LOG = logging.getLogger(__name__)
PUBLIC = (
    "session_store",
    "session_store.analytics",
    "session_store.maintenance",
    "session_store.maintenance.doctor",
    "session_store.transfer",
    "session_store.transfer",
    "session_store.migrations",
    "session_store.models",
    "session_store.maintenance.report",
    "session_store.search.index",
    "session_store.maintenance",
    "session_store.testing",
    "session_store.maintenance",
)
"""The modules whose ``__all__`` is the interface."""
LARGEST = 200_000
"""Bytes of a file that is shown whole."""


class Fence(SphinxDirective):
    """A block of code, under the title that stands behind its language."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    # Without options nothing in the block is taken for one.
    option_spec: ClassVar[None] = None

    def run(self) -> list[nodes.Node]:
        """Return the block, in a wrapper with its title if it has one."""
        text = "\n".join(self.content)
        block = nodes.literal_block(text, text, language=self.name)
        self.set_source_info(block)
        title = TITLE.search(self.arguments[0]) if self.arguments else None
        return [container_wrapper(self, block, f"`{title[1]}`") if title else block]


class Links(SphinxTransform):
    """Links to what is in the checkout and is no page."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Let each lead to the page that shows it, and remember that there is to be one."""
        root = Path(self.env.srcdir)
        for link in list(self.document.findall(lambda node: isinstance(node, nodes.Element) and "reftarget" in node)):
            if link.get("reftype") != "myst":
                continue
            path = (root / self.env.docname).parent.joinpath(link["reftarget"]).resolve()
            if path.is_dir() or isinstance(link, addnodes.download_reference):
                name = path.relative_to(root).as_posix()
                shown(self.env).setdefault(self.env.docname, set()).add(name)
                uri = self.app.builder.get_relative_uri(self.env.docname, f"{SOURCES}/{name}")
                link.replace_self(nodes.reference("", "", *link.children, refuri=uri + place(path, link.astext())))


class Sidebar(SphinxTransform):
    """The sidebar: what the first page leads to, under its headings."""

    default_priority = 6

    def apply(self, **_: Any) -> None:
        """Put a table of contents, not shown where it stands, behind the links of each section."""
        if self.env.docname != self.config.root_doc:
            return
        known: set[str] = set()
        for section in self.document.findall(nodes.section):
            links = [
                link["reftarget"]
                for part in section.children
                if not isinstance(part, nodes.section)
                for link in part.findall(addnodes.pending_xref)
                if link.get("refdomain") == "doc" and not link["reftargetid"]
            ]
            entries = [(None, name) for name in dict.fromkeys(links) if name not in known]
            known.update(links)
            if entries:
                section.insert(1, self._toctree(entries, section[0].astext() if section.parent.parent else None))

    def _toctree(self, entries: list[tuple[None, str]], caption: str | None) -> addnodes.toctree:
        return addnodes.toctree(
            parent=self.env.docname,
            entries=entries,
            includefiles=[name for _, name in entries],
            maxdepth=2,
            caption=caption,
            glob=False,
            hidden=True,
            includehidden=False,
            numbered=0,
            titlesonly=True,
        )


def shown(env: Any) -> dict[str, set[str]]:
    """The files and folders of the checkout that pages lead to, by page."""
    if not hasattr(env, "session_store_shown"):
        env.session_store_shown = {}
    return env.session_store_shown


def place(path: Path, name: str) -> str:
    """Where in a file a function of this name begins, as the end of a link."""
    lines = path.read_text().splitlines() if path.suffix == ".py" and name.isidentifier() else []
    return next((f"#L-{number}" for number, line in enumerate(lines, 1) if f"def {name}(" in line), "")


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages that show files and folders."""
    root = Path(app.srcdir)
    for name in sorted(set().union(*shown(app.env).values())):
        body = folder(root / name) if (root / name).is_dir() else file(app, root / name)
        yield f"{SOURCES}/{name}", {"title": name, "body": f"<h1>{escape(name)}</h1>{body}"}, "page.html"


def folder(path: Path) -> str:
    """What is in a folder, as HTML."""
    names = sorted(inside.name for inside in path.iterdir() if not inside.name.startswith(("_", ".")))
    return "<ul>" + "".join(f"<li><code>{escape(name)}</code></li>" for name in names) + "</ul>"


def file(app: Sphinx, path: Path) -> str:
    """What a file says, as HTML."""
    text = path.read_text()
    if len(text) > LARGEST:
        return f"<p>{len(text):,} characters, which are not shown.</p>"
    language = LANGUAGE_OF.get(path.suffix, "text")
    return app.builder.highlighter.highlight_block(text, language, linenos="inline", lineanchors="L")


def short_name(_: Sphinx, env: Any, node: addnodes.pending_xref, shown_as: nodes.Element) -> nodes.Element | None:
    """What a name leads to that Sphinx does not find: a type to what is public under its last name, others nowhere.

    What stands in no page must at least be something that can be imported.
    """
    if node.get("refdomain") != "py" or node["reftarget"].startswith("session_store."):
        return shown_as if node.get("reftype") == "any" and pydoc.locate(node["reftarget"]) else None
    domain = env.get_domain("py")
    for name, found in domain.objects.items():
        if name.rpartition(".")[2] == node["reftarget"] and found.objtype in {"class", "exception"}:
            return make_refnode(env.app.builder, node["refdoc"], found.docname, found.node_id, shown_as, name)
    return shown_as


def says_nothing(_: Sphinx, __: str, ___: str, member: Any, skip: bool, ____: Any) -> bool | None:  # noqa: FBT001
    """Leave out the fields of a tuple that only say which field they are: the signature has their types."""
    return True if str(member.__doc__).startswith("Alias for field number") else skip or None


def titled(_: Sphinx, docname: str, text: list[str]) -> None:
    """Give the README a heading, which elsewhere the name of its repository is."""
    if docname == "README":
        text[0] = f"# README\n\n{text[0]}"


def whole(_: Sphinx, env: Any) -> None:
    """Warn of what is public and stands in no page."""
    domain = env.get_domain("py")
    told = [pydoc.locate(name) for name, found in domain.objects.items() if found.objtype != "module"]
    for module in PUBLIC:
        for name in importlib.import_module(module).__all__:
            if not any(getattr(sys.modules[module], name) is thing for thing in told):
                LOG.warning("%s.%s is public and stands in no page", module, name)


def forget(_: Sphinx, env: Any, docname: str) -> None:
    """Forget what a page leads to that is read anew."""
    shown(env).pop(docname, None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add all of it."""
    for language in LANGUAGES:
        app.add_directive(language, Fence)
    app.config.myst_fence_as_directive = LANGUAGES
    app.add_transform(Links)
    app.add_transform(Sidebar)
    app.connect("html-collect-pages", source_pages)
    app.connect("missing-reference", short_name)
    app.connect("autodoc-skip-member", says_nothing)
    app.connect("source-read", titled)
    app.connect("env-check-consistency", whole)
    app.connect("env-purge-doc", forget)
    return {"version": "1", "parallel_read_safe": True}
