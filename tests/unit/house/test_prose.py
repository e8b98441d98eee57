"""What people read: short sentences, citations that lead somewhere, names that say what they hold."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("secagg", "keyserver", "node", "aggregator")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MOST_WORDS = 25
# Written for release notes or printed from the code: their sentences are held where they come from.
LISTS = ("CHANGELOG.md", *(f"{name}.md" for name in ("events", "statements", "rules", "cli", "config")))

SPAN = re.compile(r"`[^`]*`|\]\([^)]*\)")
CITED = re.compile(r"\bSource: .*", re.DOTALL)
END = re.compile(r"[.!?][\"”)*’`']*(\s+)(?=[^a-z\s])")
ITEM = re.compile(r"^([-*+]|\d{1,2}\.)\s+")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs and items of lists, without code, tables and headings."""
    lines: list[str] = []
    for line in [*re.sub(r"```.*?```", "\n", text, flags=re.DOTALL).splitlines(), ""]:
        bare = line.strip()
        skipped = not bare or bare.startswith(("|", "#", ">>>")) or line.startswith("    ")
        if skipped or ITEM.match(bare):
            yield "\n".join(lines)
            lines = []
        if not skipped:
            lines.append(ITEM.sub("", bare, count=1))


def sentences(text: str) -> Iterator[str]:
    for paragraph in paragraphs(text):
        yield from END.sub(lambda end: end[0].rstrip() + "\0", CITED.sub("", paragraph)).split("\0")


def words(sentence: str) -> int:
    """How many words a sentence has: code in backticks is one, and a sign by itself none."""
    return sum(1 for word in SPAN.sub("x", sentence).split() if re.search(r"\w", word))


def too_long(text: str) -> list[str]:
    return [" ".join(sentence.split()) for sentence in sentences(text) if words(sentence) > MOST_WORDS]


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def literal(node: ast.expr) -> str:
    """The text of an argument, with one word for every value that is put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "x" for part in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def told_texts(tree: ast.Module) -> Iterator[str]:
    """Yield every text that is given to a call: errors, questions, lines of commands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (literal(value) for value in [*node.args, *(word.value for word in node.keywords)])


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in LISTS], ids=name_of)
def test_sentences_of_pages_are_short(page: Path) -> None:
    assert too_long(page.read_text()) == []


def test_sentences_of_the_tests_are_short() -> None:
    texts = {path: list(docstrings(ast.parse(path.read_text()))) for path in sorted((ROOT / "tests").rglob("*.py"))}
    found = {name_of(path): [part for text in held for part in too_long(text)] for path, held in texts.items()}
    assert {name: parts for name, parts in found.items() if parts} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_sentences_of_docstrings_and_errors_are_short(package: str) -> None:
    files = [path for path in SOURCES if name_of(path).startswith(f"{package}/")]
    trees = {name_of(path): ast.parse(path.read_text()) for path in files}
    texts = {name: [*docstrings(tree), *told_texts(tree)] for name, tree in trees.items()}
    found = {name: [part for text in held for part in too_long(text)] for name, held in texts.items()}
    assert {name: parts for name, parts in found.items() if parts} == {}


def test_a_long_sentence_would_be_seen() -> None:
    long = " ".join(["Word"] * 26) + "."
    assert too_long(f"Short one. {long}\n\n| {long} |\n\n```\n{long}\n```\n") == [long]
    assert too_long(f"* {long[5:]}\n* {long[5:]}") == []
    assert too_long(f"{long[10:-1]}, `a b c`.") == []
    assert too_long(f"{long[5:-1]}, `a b c`.") != []
