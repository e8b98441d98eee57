"""Every rule name that the sources can give an error, found by reading them.

A rule is written as `rule="a.b"`, or as `rule=f"a.{x}"` in a function that is handed `x` by its callers, who name it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("secagg", "node", "keyserver", "aggregator")


class Made(NamedTuple):
    """A function that makes a rule out of what it is handed: its module, name, parameters and the rule's text."""

    module: Path
    name: str
    parameters: tuple[str, ...]
    parameter: str
    form: str


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every source file of the product, parsed."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def written() -> set[str]:
    """Return every rule that an error can have; of one that is made of a part, `a.*` when nobody names the part."""
    found: set[str] = set()
    made: list[Made] = []
    trees = list(modules())
    for path, tree in trees:
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                made += _made(path, function)
        found |= {value for node in _rules(tree) for value in constants(node)}
    for maker in made:
        calls = [argument for path, tree in trees if path == maker.module for argument in _handed(tree, maker)]
        parts = {part for call in calls for part in constants(call) or {"*"}}
        found |= {maker.form.format(part) for part in parts}
    return found


def constants(node: ast.expr) -> set[str]:
    """Return what a rule is where it is written out, either way of `x if y else z`."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def _rules(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "rule")


def _made(path: Path, function: ast.FunctionDef) -> Iterator[Made]:
    names = tuple(argument.arg for argument in (*function.args.args, *function.args.kwonlyargs))
    for rule in _rules(function):
        if isinstance(rule, ast.JoinedStr):
            [part] = [value for value in rule.values if isinstance(value, ast.FormattedValue)]
            assert isinstance(part.value, ast.Name), f"{path}: a rule is made of more than a name"
            form = "".join("{}" if value is part else value.value for value in rule.values)  # type: ignore[attr-defined]
            yield Made(path, function.name, names, part.value.id, form)
        elif isinstance(rule, ast.Name) and rule.id in names:
            yield Made(path, function.name, names, rule.id, "{}")


def _handed(tree: ast.AST, maker: Made) -> Iterator[ast.expr]:
    at = maker.parameters.index(maker.parameter) - (maker.parameters[0] == "self")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == maker.name:
            named = [keyword.value for keyword in node.keywords if keyword.arg == maker.parameter]
            yield from named or node.args[at : at + 1]
