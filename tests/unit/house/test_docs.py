"""The pages: links lead somewhere, and the commands they show exist."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from secagg.cli import main

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(page))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z.]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = re.findall(r"(?:^|`)make ((?:[A-Z_]+=\S+ )*)([a-z]+)", page.read_text(), flags=re.MULTILINE)
    assert {target for _, target in shown} - targets == set()


def test_the_readme_shows_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line.split("#")[0].strip() for line in lines if line.startswith("make ")] == ["make demo", "make test"]


def test_the_readmes_commands_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in an empty directory that only has the repository's files beside it."""
    shown = re.findall(r"^(secagg .*?)\s+#|^(secagg .*)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    lines = [(first or second).split() for first, second in shown]
    assert len(lines) >= 6
    (tmp_path / "secagg").symlink_to(ROOT / "secagg")
    monkeypatch.chdir(tmp_path)
    codes = [CliRunner().invoke(main, line[1:]).exit_code for line in lines]
    assert codes == [65 if "--cheat" in line else 0 for line in lines]


def test_every_error_code_is_documented() -> None:
    sources = [file for room in ("secagg", "keyserver", "node", "aggregator") for file in (ROOT / room).rglob("*.py")]
    used = {code for file in sources for code in re.findall(r'"(E-[A-Z-]+)"', file.read_text())}
    documented = set(re.findall(r"E-[A-Z-]+", (ROOT / "docs" / "reference" / "errors.md").read_text()))
    assert used - documented == set()
    assert documented - used == set()


def test_files_that_contributors_are_sent_to_are_there() -> None:
    named = set(re.findall(r"`([a-z]+/[\w./-]*)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert len(named) > 50
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_words_of_the_glossary_are_used() -> None:
    entries = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "glossary.md").read_text(), flags=re.MULTILINE)
    words = [word.strip(" `") for entry, _ in entries for word in entry.split(",") if entry not in ("word", "---")]
    places = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "tests" / "support").rglob("*.py")]
    places += [file for room in ("secagg", "keyserver", "node", "aggregator") for file in (ROOT / room).rglob("*.py")]
    used = " ".join(file.read_text().lower() for file in places if file.name != "glossary.md")
    assert len(words) == len(set(words)) > 100
    assert [word for word in words if not re.search(rf"\b{re.escape(word.lower())}", used)] == []
    lengths = [len(sentence.split()) for _, meaning in entries for sentence in re.split(r"(?<=[.:;]) ", meaning)]
    assert max(lengths) <= 25
