"""Every block of code in the documentation does what the page says, and the runner that proves it can fail."""

import os
import re
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.conftest import Database
from tests.documents import ROOT, Block, Section, anchor, environment, follow, sections
from tests.ready import programs

pytestmark = pytest.mark.once

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SECTIONS = [section for page in PAGES if page.name != "operate.md" for section in sections(page)]
"""The sections of all pages but the runbook, which begin with something wrong: tests/test_runbook.py."""
PROGRAMS = Path(sys.executable).parent

ELSEWHERE = {
    "make demo    # a first look": ".ci/run and tests/test_demo.py",
    "pip install .  ": "tests/matrix",
    "pip install '.[cli]'\n": "tests/matrix",
    "$ make bench PEERS=1": "nowhere whole, for it takes an hour; a smoke of it in .ci/run",
    "python3 -m venv .venv\n": "tests/test_readme.py, in an environment that is there",
    "session-store stuck --longer-than 5m": "tests/test_readme.py, with somebody who answers no question",
    "session-store import --dry-run moved/": "tests/transfer and tests/imports",
    '{"session_key": "telegram_ann"': "tests/test_import.py",
    "$ session-store export --format parquet": "tests/transfer/test_rows.py",
    "import pandas": "nowhere, for nothing else needs pandas",
    "SELECT $__timeGroup": "nowhere but in Grafana",
    "ATTACH ": "nowhere, for DuckDB takes its extensions from the net",
    "SELECT day, count(*) AS messages FROM 'messages.parquet'": "nowhere, for nothing else needs DuckDB",
}
"""What is not run here, by how the block begins, and where that is done."""

AT_LENGTH = {"testing.md#fixtures", "testing.md#a-backend-of-your-own"}
"""What waits for the long suite because tests/test_testing.py does the same."""


def here(section: Section) -> list[Block]:
    """The blocks of a section that are run here."""
    return [block for block in section.blocks if not block.text.startswith(tuple(ELSEWHERE))]


def database_url(database: Database) -> str:
    """The URL as a reader has it who has nothing but psycopg, on SQLAlchemy 2.0 too."""
    return database.url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def only_postgresql(section: Section) -> bool:
    """Whether the heading says so."""
    return "postgresql" in section.name


def reader(*folders: Path, **given: str) -> dict[str, str]:
    """The environment of a reader who has this checkout, and in some folders programs to be taken first."""
    variables = environment(PROGRAMS, PYTHONPATH=str(ROOT), CHECKOUT=str(ROOT), **given)
    return {**variables, "PATH": os.pathsep.join([*map(str, folders), variables["PATH"]])}


def in_a_hurry(section: Section, **given: str) -> dict[str, str]:
    """The same, where programs start at once; what the README says is done by programs as they are."""
    return reader(*([] if section.page == "README.md" else [programs()]), **given)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "section",
    [
        pytest.param(section, id=str(section), marks=pytest.mark.long if str(section) in AT_LENGTH else ())
        for section in SECTIONS
        if not section.any_database
    ],
)
def test_a_section_does_what_it_says(section: Section, tmp_path: Path) -> None:
    """Done from top to bottom in an empty directory, every block succeeds and prints what stands there."""
    follow(here(section), tmp_path, in_a_hurry(section))


def is_long(section: Section, database: str) -> bool:
    """Whether it waits for the long suite: the second database, and what goes on from what goes on from another.

    SQL does not wait: it is there to be copied, and no other test runs it.
    """
    goes_on = section.before is not None and section.before.before is not None
    asks = any(block.language == "sql" for block in section.own)
    return goes_on or (database == "postgresql" and not asks and not only_postgresql(section))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("section", "empty_database"),
    [
        pytest.param(section, name, id=f"{section}-{name}", marks=pytest.mark.long if is_long(section, name) else ())
        for section in SECTIONS
        for name in ("sqlite", "postgresql")
        if section.any_database and (name == "postgresql" or not only_postgresql(section))
    ],
    indirect=["empty_database"],
)
def test_a_section_does_it_on_both_databases(section: Section, empty_database: Database, tmp_path: Path) -> None:
    """Where the reader chooses the database the same comes out of both, unless the heading speaks of PostgreSQL.

    On SQLite the database is the one the page falls back to.
    """
    given = {"DATABASE_URL": database_url(empty_database)} if empty_database.name == "postgresql" else {}
    follow(here(section), tmp_path, in_a_hurry(section, **given))


@pytest.mark.parametrize("begins", ELSEWHERE)
def test_what_is_run_elsewhere_is_still_there(begins: str) -> None:
    """Nothing is left out here that stands in no page any more."""
    assert [block.text for section in SECTIONS for block in section.own if block.text.startswith(begins)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file, and after a # one of its headings."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, fragment = link.partition("#")
        if "://" not in path:
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if fragment else []
            assert not fragment or fragment in map(anchor, headings), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_tests_name_one_that_is_there(page: Path) -> None:
    """A link whose text is a test's name leads to the file that has it."""
    for name, path in re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", page.read_text()):
        assert f"def {name}(" in (page.parent / path).read_text(), name


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_machine_is_named(page: Path) -> None:
    """No page names a path of a machine or the host of a package registry."""
    assert re.search(r"(?<![\w.:/}])/\w+/\w", page.read_text()) is None


# The runner.


def a_page(directory: Path, text: str) -> list[Section]:
    """The sections of a page of its own."""
    page = directory / "page.md"
    page.write_text(text.replace("~~~", "```"))
    return sections(page)


def in_a_directory(directory: Path, text: str, section: int = -1) -> Path:
    """Do what a section of a page says, and return where."""
    place = directory / "reader"
    place.mkdir()
    follow(a_page(directory, text)[section].blocks, place, reader())
    return place


def test_what_a_section_says_is_done(tmp_path: Path) -> None:
    """Files are written, exports last, a command may go on in a second line, and outputs may be shortened."""
    place = in_a_directory(
        tmp_path,
        """
## One

~~~python title="package/shop.py"
print("a", "b", "c")
~~~

~~~console
$ export WORD=hello
$ echo $WORD \\
    you > greeting.txt
$ cat greeting.txt; python package/shop.py
hello you
a ... c
$ echo said; echo told >&2; exit_with() { return $1; }; exit_with 3  # exit code 3
said
told
~~~
""",
    )

    assert (place / "greeting.txt").read_text() == "hello you\n"


def test_a_section_goes_on_from_another(tmp_path: Path) -> None:
    """What the other one says is done first, in the same directory; one that says nothing begins in an empty one."""
    text = """
# Page

~~~console
$ touch zero
~~~

## The first one

~~~console
$ touch one
~~~

### A part

~~~console
$ touch part
~~~

### Another `part`, on its own

This goes on from [the first one](#the-first-one). It says more.

~~~console
$ touch own
~~~
"""
    found = a_page(tmp_path, text)

    assert [str(section) for section in found] == [
        "page.md#top",
        "page.md#the-first-one",
        "page.md#another-part-on-its-own",
    ]
    assert sorted(path.name for path in in_a_directory(tmp_path, text).iterdir()) == ["one", "own", "part"]


def test_python_blocks_are_one_program(tmp_path: Path) -> None:
    """The second block knows what the first one made, and what its comments say is printed."""
    text = """
~~~python
word = "hello"
print("not looked at")
~~~

~~~python
print(word.upper())  # HELLO
~~~
"""
    in_a_directory(tmp_path, text)

    with pytest.raises(AssertionError, match="'HALLO' is missing"):
        follow(a_page(tmp_path, text.replace("# HELLO", "# HALLO"))[0].blocks, tmp_path, reader())


ASKED = """
~~~sql title="SQLite"
SELECT number, since, number LIKE '1%' AS first FROM orders ORDER BY number
~~~

~~~sql title="PostgreSQL"
SELECT number, CAST(since AS timestamptz) AS since, CAST(CAST(number AS text) LIKE '1%' AS integer) AS first
FROM orders ORDER BY number
~~~

| number | since | first |
| --- | --- | --- |
| 1 | 2026-03-05 09:12:03 | 1 |
| 2 |  | 0 |

~~~sql
UPDATE orders SET number = 3 WHERE number = 2
~~~

~~~sql
SELECT sum(number) AS total FROM orders
~~~

| total |
| --- |
| 4 |
"""


def asked(database: Database, directory: Path, text: str = ASKED) -> None:
    """Ask a database with two orders what a page asks."""
    url = database_url(database) if database.name == "postgresql" else database.url
    engine = create_engine(url)
    with engine.begin() as db:
        db.exec_driver_sql("CREATE TABLE orders (number integer, since text)")
        db.exec_driver_sql("INSERT INTO orders VALUES (1, '2026-03-05T09:12:03.500000+00:00'), (2, NULL)")
    engine.dispose()
    given = {"DATABASE_URL": database_url(database)} if database.name == "postgresql" else {}
    follow(a_page(directory, text)[0].blocks, directory, reader(**given))


def test_sql_is_asked(empty_database: Database, tmp_path: Path) -> None:
    """The table behind one block, or behind one for each database, is what comes out."""
    asked(empty_database, tmp_path)


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("| 4 |", "| 5 |"),
        ("| total |", "| sum |"),
        ("| 2 |  | 0 |\n", ""),
        ("\n| total |\n| --- |\n| 4 |", ""),
        ("number = 2\n~~~\n", "number = 2\n~~~\n\n| number |\n| --- |\n| 3 |\n"),
    ],
)
def test_what_sql_answers_otherwise_is_found(was: str, becomes: str, empty_database: Database, tmp_path: Path) -> None:
    """Another value, name or number of rows than the page has fails; so does a table too many or too few."""
    assert was in ASKED
    with pytest.raises(AssertionError, match="instead of"):
        asked(empty_database, tmp_path, ASKED.replace(was, becomes))


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("~~~console\n$ false\n~~~", "exit code 1"),
        ("~~~console\n$ true # exit code 1\n~~~", "exit code 0"),
        ("~~~console\n$ echo a\nb\n~~~", "instead of"),
        ("~~~console\n$ echo a\n~~~", "instead of"),
        ("~~~console\n$ true\na\n~~~", "instead of"),
        ("~~~console\n$ exit 0\n~~~", "bash itself ended"),
        ("~~~console\n$ if\n~~~", "syntax error"),
        ("~~~console\necho a\n~~~", "begins with"),
        ("~~~console\n~~~", "nothing in this block"),
        ("~~~python\nassert False\n~~~", "the program ended with 1"),
        ("~~~yaml\na: b\n~~~", "nobody knows what to do with a block of yaml"),
        ("~~~\na\n~~~", "nobody knows what to do with a block of no language"),
        ('~~~python title="../shop.py"\n~~~', "not in the reader's directory"),
        ("~~~sql\nSELECT 1\n~~~", "not one SQLite file"),
        ("=== Tab\n\n    ~~~console\n    $ true\n    ~~~", "must be fenced"),
        ("## A\n\nThis goes on from [another](#another).\n\n~~~console\n$ true\n~~~", "no section #another"),
        ("## A\n\n~~~console\n$ true\n~~~\n\n## A", "two sections #a"),
    ],
)
def test_what_is_wrong_is_found(block: str, problem: str, tmp_path: Path) -> None:
    """A command that ends or prints otherwise, a block nobody runs, and a section that is not there all fail."""
    with pytest.raises(AssertionError, match=problem):
        in_a_directory(tmp_path, block)


def test_what_runs_in_the_background_is_ended(tmp_path: Path) -> None:
    """A server started with ``&`` serves the lines after it and no longer than the section."""
    text = """
~~~console
$ sleep 1000 >log 2>&1 &
$ echo $! > pid; kill -0 $(cat pid)
~~~
"""
    place = in_a_directory(tmp_path, text)
    pid = int((place / "pid").read_text())

    while running(pid):
        time.sleep(0.01)


def running(pid: int) -> bool:
    """Whether a process has not ended, be it that nobody has asked how it did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
