"""What the source cites is there: pages, their headings, sections of the protocol, rows of the threat model."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("secagg", "keyserver", "node", "aggregator")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PROTOCOL = "docs/protocol.md"
THREATS = "docs/threat-model.md"

PAGE = re.compile(r'(docs/[\w/-]+\.md)((?:,? (?:and )?"[^"]+")*)')
SECTION = re.compile(r"§(\d+(?:\.\d+)*)")
RFC = re.compile(r"RFC \d+(?:,? (?:and )?§[\d.]+\d)*")
ROW = re.compile(r"\b(?:attacks?|rows?) (\d+(?:(?:, | and )\d+)*)")
# A page of ours, a section of the protocol, a standard, or a paper with its year (or its number at eprint.iacr.org).
KNOWN = re.compile(r"docs/[\w/-]+\.md|RFC \d+|c2sp\.org|\b(?:19|20)\d\d\b|'\d\d\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def headings(page: str) -> list[str]:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


def sections() -> set[str]:
    numbered = (re.match(r"(\d+(?:\.\d+)*)\.? ", heading) for heading in headings(PROTOCOL))
    return {match[1] for match in numbered if match}


def rows() -> set[str]:
    firsts = re.findall(r"^\| ([\d, ]+) \|", (ROOT / THREATS).read_text(), flags=re.MULTILINE)
    return {number.strip() for first in firsts for number in first.split(",")}


def texts(path: Path) -> list[str]:
    """The docstrings of a file, each on one line, and its comments."""
    source = path.read_text()
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    held = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [" ".join(text.split()) for text in [*held, *re.findall(r"# (.*)", source)]]


def missing(text: str) -> list[str]:
    """What a text cites and nobody can look up."""
    pages = [(page, re.findall(r'"([^"]+)"', quoted)) for page, quoted in PAGE.findall(text)]
    lost = [page for page, _ in pages if not (ROOT / page).is_file()]
    named = [(page, heading) for page, quoted in pages if page not in lost for heading in quoted]
    lost += [f'{page} "{heading}"' for page, heading in named if heading not in headings(page)]
    lost += [f"§{number}" for number in SECTION.findall(RFC.sub("", text)) if number not in sections()]
    numbers = [number for group in ROW.findall(text) for number in re.findall(r"\d+", group)]
    return lost + [f"row {number}" for number in numbers if number not in rows()]


def unsourced(text: str) -> list[str]:
    """Every `Source:` that names neither a page of ours nor a standard nor a paper."""
    return [source for source in re.findall(r"\bSources?: (.*)", text) if not KNOWN.search(source)]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_cited_is_there(package: str) -> None:
    files = [path for path in SOURCES if name_of(path).startswith(f"{package}/")]
    lost = {name_of(path): [part for text in texts(path) for part in missing(text)] for path in files}
    assert {name: parts for name, parts in lost.items() if parts} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_source_is_a_page_a_standard_or_a_paper(package: str) -> None:
    files = [path for path in SOURCES if name_of(path).startswith(f"{package}/")]
    vague = {name_of(path): [part for text in texts(path) for part in unsourced(text)] for path in files}
    assert {name: parts for name, parts in vague.items() if parts} == {}


def test_what_is_not_there_would_be_seen() -> None:
    cited = 'docs/nowhere.md "Sockets", docs/transport.md "Plugs" and "Sockets"; protocol §99, §6.5, row 9999'
    assert missing(cited) == ["docs/nowhere.md", 'docs/transport.md "Plugs"', "§99", "row 9999"]
    assert missing("RFC 9162 §2.1.3.2 and §2.1.4.2, RFC 6962 §2.1") == []
    assert unsourced('Source: operations "Commands".') == ['operations "Commands".']
