"""Prints docs/reference/{events,statements,answers,rules,cli,config}.md from the code; `--write` rewrites.

Rules: every word stands in the code: docstrings, descriptions of fields, help of commands, the table of rules. What
the code does not say is not printed. A test compares. Usage: python tests/support/reference.py [--write].
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import msgspec
from msgspec import UNSET, Struct

from aggregator import requests as of_aggregator
from aggregator.jobs import JobFile
from aggregator.process import AggregatorConfig
from keyserver import requests as of_keyserver
from keyserver.config import Configuration
from keyserver.trustee import requests as of_trustee
from keyserver.trustee.config import TrusteeConfig
from node import requests as of_node
from node.config import NodeConfig
from secagg.cli import main
from secagg.daemon import broker
from secagg.daemon.broker import BrokerConfig
from secagg.daemon.requests import Link
from secagg.events import kinds
from secagg.events.line import Event, Line, kind_of
from secagg.log.statements import AnyStatement
from secagg.protocol.refusals import SENTENCES
from support.rules import ROOT, constants, modules

PLACE = ROOT / "docs" / "reference"
WIDTH = 100
"""Columns of the help of commands."""

FILES: dict[str, type[Struct]] = {
    "node.toml": NodeConfig, "aggregator.toml": AggregatorConfig, "trustee.toml": TrusteeConfig,
    "keyserver.toml": Configuration, "broker.toml": BrokerConfig, "job.toml": JobFile,
}  # fmt: skip

HEAD = "<!-- Printed from the code by tests/support/reference.py: `make reference` writes it anew. -->\n"


def told(doc: str | None) -> str:
    """Return a docstring as one paragraph for each of its own."""
    return "\n\n".join(" ".join(part.split()) for part in (doc or "").strip().split("\n\n"))


def cell(text: str) -> str:
    """Return a text as it may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(columns: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; nothing when it has no row."""
    names = [name.strip() for name in columns.split("|")]
    lines = [names, ["---"] * len(names), *(list(map(cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) if len(lines) > 2 else ""


# Fields --------------------------------------------------------------------------------------------------------------


def meaning(hint: Any) -> str:
    """Return what the description of a field's type says, also where the field may be absent."""
    notes = [note.description or "" for note in getattr(hint, "__metadata__", ()) if isinstance(note, msgspec.Meta)]
    inner = () if notes else getattr(hint, "__args__", ())
    return " ".join(filter(None, [*notes, *map(meaning, inner)]))


def bounds(found: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    """Return what a number may be."""
    said = [("≥", found.ge), (">", found.gt), ("≤", found.le), ("<", found.lt)]
    text = ", ".join(f"{sign} {value}" for sign, value in said if value is not None)
    return f" {text}".rstrip().replace(str(2**53), "2^53").replace(str(2**31), "2^31")


def text(found: msgspec.inspect.StrType) -> str:
    """Return what a text may be."""
    if found.pattern:
        return f"text like `{found.pattern.removeprefix(chr(92) + 'A').removesuffix(chr(92) + 'Z')}`"
    return f"text of {found.max_length} letters at most" if found.max_length else "text"


SCALARS: dict[type[msgspec.inspect.Type], Callable[[Any], str]] = {
    msgspec.inspect.StrType: text,
    msgspec.inspect.IntType: lambda found: f"integer{bounds(found)}",
    msgspec.inspect.FloatType: lambda found: f"number{bounds(found)}",
    msgspec.inspect.BoolType: lambda found: "true or false",
    msgspec.inspect.LiteralType: lambda found: " or ".join(f"`{value}`" for value in found.values),
    msgspec.inspect.AnyType: lambda found: "any value",
}


def bare(found: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """Return a type without what is said of it."""
    return bare(found.type) if isinstance(found, msgspec.inspect.Metadata) else found


def kind(given: msgspec.inspect.Type) -> str:
    """Return the name of a type, with its bounds."""
    match found := bare(given):
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return f"list of {kind(found.item_type)}"
        case msgspec.inspect.DictType():
            return f"table of {kind(found.value_type)}"
        case msgspec.inspect.UnionType():
            return " or ".join(kind(one) for one in found.types if not isinstance(one, msgspec.inspect.NoneType))
        case msgspec.inspect.StructType():
            return found.cls.__name__
    return SCALARS[type(found)](found)


def default(field: msgspec.inspect.Field) -> str:
    """Return what holds unless a field is written."""
    if field.required:
        return "has to be written"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value in (None, "", (), {}) or value is UNSET:
        return "nothing"
    return f"`{json.dumps(value)}`"


def fields(struct: type[Struct]) -> Iterator[tuple[msgspec.inspect.Field, str]]:
    """Yield every field of a struct, and what it means."""
    shape, hints = msgspec.inspect.type_info(struct), get_type_hints(struct, include_extras=True)
    assert isinstance(shape, msgspec.inspect.StructType)
    for field in shape.fields:
        yield field, meaning(hints[field.name])


# The pages -----------------------------------------------------------------------------------------------------------


def events() -> str:
    """Return the page of events."""
    page = [HEAD, "# Events\n", "What daemons tell those who watch (`secagg job watch`), and write into their logs.\n"]
    page += ["A field that is not here is neither told nor logged. Optional ones may be left out.\n"]
    for room in kinds.ROOMS:
        page += [f"## {told(room.__doc__).split('. ')[0].split(chr(10))[0].rstrip('.')}\n"]
        for line in [line for line in kinds.all_lines() if line.__module__ == room.__name__]:
            page += [f"### {kind_of(line)}\n", f"{told(line.__doc__)}\n", *_levels(line)]
            rows = [(f"`{one.encode_name}`", _optional(one), text or _nested(one)) for one, text in fields(line)]
            page += [table("field | type | meaning", rows)]
    return "\n".join(part for part in page if part)


def _levels(line: type[Line]) -> list[str]:
    where = "Told and logged" if issubclass(line, Event) else "Logged"
    return [f"{where} as {line.loud}.\n"]


def _optional(field: msgspec.inspect.Field) -> str:
    return kind(field.type) + ("" if field.required else ", optional")


def _nested(field: msgspec.inspect.Field) -> str:
    """Return what a list of structs holds."""
    listed = bare(field.type)
    assert isinstance(listed, msgspec.inspect.VarTupleType)
    assert isinstance(listed.item_type, msgspec.inspect.StructType)
    inner = listed.item_type.cls
    return f"{told(inner.__doc__)} " + " ".join(f"`{one.name}`: {text}" for one, text in fields(inner))


ROLES: dict[str, Any] = {
    "Every role": Link, "Key server": of_keyserver.Asked, "Aggregator": of_aggregator.Asked, "Node": of_node.Asked,
    "Trustee": of_trustee.Status, "Broker": broker.Status,
}  # fmt: skip
"""What each is asked over its admin socket."""


def answers() -> str:
    """Return the page of what daemons answer: by role and request, and the structs that answers are made of."""
    page = [HEAD, "# Answers\n", "What daemons answer over their admin sockets, and `--format json` prints.\n"]
    page += ["`status` commands print the answers to `status` and `link` as one.\n"]
    structs: dict[str, type[Struct]] = {}
    for role, asked in ROLES.items():
        rows = []
        for request in get_args(asked) or (asked,):
            answer = msgspec.inspect.type_info(request.answered_by())
            structs |= {found.__name__: found for found in structs_of(answer)}
            rows.append((f"`{request.__struct_config__.tag}`", told(request.__doc__), kind(answer)))
        page += [f"## {role}\n", table("request | what is asked | answer", rows)]
    page += ["## Structs\n"]
    for name, found in sorted(structs.items()):
        rows = [(f"`{one.encode_name}`", _optional(one), text) for one, text in fields(found)]
        page += [f"### {name}\n", f"{told(found.__doc__)}\n", table("field | type | meaning", rows)]
    return "\n".join(part for part in page if part)


def structs_of(given: msgspec.inspect.Type) -> Iterator[type[Struct]]:
    """Yield every struct that a type is made of."""
    match found := bare(given):
        case msgspec.inspect.StructType():
            yield found.cls
            for field in found.fields:
                yield from structs_of(field.type)
        case msgspec.inspect.UnionType():
            for one in found.types:
                yield from structs_of(one)
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            yield from structs_of(found.item_type)


def statements() -> str:
    """Return the page of what stands in the logs."""
    page = [HEAD, "# Statements\n", "What stands in both logs; see [audit log](../audit-log.md).\n"]
    for one in STATEMENTS:
        rows = [(f"`{field.encode_name}`", _optional(field)) for field, _ in fields(one)]
        page += [f"## {one.__name__}\n", f"{told(one.__doc__)}\n", table("field | type", rows)]
    return "\n".join(page)


def rules() -> str:
    """Return the page of rules: what others read of each, and where it is raised with which remedy."""
    raised: dict[str, list[tuple[str, str, str]]] = {}
    for path, tree in modules():
        for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
            for name in (found for word in call.keywords if word.arg == "rule" for found in constants(word.value)):
                cause, remedy = [*map(words, call.args[:2]), "", ""][:2]
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                raised.setdefault(name, []).append((cause, remedy, module))
    page = [HEAD, "# Rules\n", "By which a party refuses. The name travels; its reader makes the sentence.\n"]
    page += ["`…` stands for what is filled in. Rules without a cause are named where they are checked.\n"]
    for name in sorted(SENTENCES):
        rows = [(cause, remedy, f"`{module}`") for cause, remedy, module in dict.fromkeys(raised.get(name, []))]
        page += [f"## {name}\n", f"Others read: {SENTENCES[name]}.\n", table("cause | remedy | where", rows)]
    return "\n".join(part for part in page if part)


def words(node: ast.expr) -> str:
    """Return a text as it is written, with … for every value that is put in."""
    match node:
        case ast.JoinedStr():
            return "".join(words(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp():
            return words(node.left) + words(node.right)
    return "…"


def config() -> str:
    """Return the page of configuration keys."""
    page = [HEAD, "# Configuration\n", "An unknown key is an error. Times are `30s`, `10m`, `2h`, `1d`.\n"]
    for name, file in FILES.items():
        page += [f"## {name}\n"]
        for section in msgspec.inspect.type_info(file).fields:  # type: ignore[attr-defined]
            page += list(_section(section))
    return "\n".join(part for part in page if part)


def _section(section: msgspec.inspect.Field) -> Iterator[str]:
    shape, title = bare(section.type), f"[{section.name}]"
    if isinstance(shape, msgspec.inspect.DictType):
        shape, title = shape.value_type, f"[{section.name}.NAME]"
    elif isinstance(shape, msgspec.inspect.VarTupleType):
        shape, title = shape.item_type, f"[[{section.name}]]"
    if not isinstance(shape, msgspec.inspect.StructType):
        yield f"### [{section.name}]\n"
        yield "`name`, and the numbers that this algorithm has.\n"
        return
    yield f"### {title}\n"
    yield f"{told(shape.cls.__doc__)}\n"
    rows = [(f"`{field.name}`", kind(field.type), default(field), text) for field, text in fields(shape.cls)]
    yield table("key | type | unless written | meaning", rows)


def cli() -> str:
    """Return the page of commands: the help of each."""
    page = [HEAD, "# Commands\n", "Global options are accepted before and after the noun.\n"]
    for path, command in _commands(("secagg",), main):
        with click.Context(command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH) as context:
            text = command.get_help(context)
        page += [f"## {' '.join(path)}\n", f"```text\n{re.sub(r'[ ]+$', '', text, flags=re.MULTILINE)}\n```\n"]
    return "\n".join(page)


def _commands(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from _commands((*path, name), inner)


STATEMENTS = get_args(AnyStatement)

PAGES: dict[str, Callable[[], str]] = {
    "events": events, "statements": statements, "answers": answers, "rules": rules, "cli": cli, "config": config,
}  # fmt: skip


def path_of(page: str) -> Path:
    """Return the file of a page."""
    return PLACE / f"{page}.md"


if __name__ == "__main__":
    stale = [name for name, made in PAGES.items() if not path_of(name).exists() or path_of(name).read_text() != made()]
    for name in stale:
        if "--write" in sys.argv:
            path_of(name).write_text(PAGES[name]())
        print(f"docs/reference/{name}.md: {'written' if '--write' in sys.argv else 'is not what the code says'}")
    sys.exit(bool(stale) and "--write" not in sys.argv)
