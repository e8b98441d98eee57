"""A name says what it holds: of `found`, `kept` and `told` a function has one, and it holds one value."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("secagg", "keyserver", "node", "aggregator", "tests")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
VAGUE = {"found", "kept", "told"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Branch = ast.If | ast.Try


def own(function: Function) -> Iterator[ast.AST]:
    """Walk a function without the functions inside it, which have names of their own."""
    waiting: list[ast.AST] = [*function.args.args, *function.args.kwonlyargs, *function.body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def grows(statement: ast.AST) -> set[str]:
    """Names that a statement only makes more of: `found += …`, `found = found * 2`."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        inside = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
        return {statement.targets[0].id} & inside
    return set()


def values(function: Function) -> list[str]:
    """Every value that a vague name gets, once for each; branches of an `if` or a `try` give the same one."""
    nodes = list(own(function))
    again = {id(target) for node in nodes if grows(node) for target in ast.walk(node)}
    forks = [node for node in nodes if isinstance(node, Branch)]
    branches = [node.orelse if isinstance(node, ast.If) else node.handlers for node in forks]
    again |= {id(part) for branch in branches for statement in branch for part in ast.walk(statement)}
    names = [node.arg for node in nodes if isinstance(node, ast.arg)]
    names += [
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in again
    ]
    return sorted(name for name in names if name in VAGUE)


def doubled(source: str) -> list[str]:
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, Function))
    return [f"{function.name}: {', '.join(values(function))}" for function in functions if len(values(function)) > 1]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_has_two_values_of_vague_names(package: str) -> None:
    files = {str(path.relative_to(ROOT)): path for path in FILES if path.relative_to(ROOT).parts[0] == package}
    hits = {name: doubled(path.read_text()) for name, path in files.items()}
    assert {name: functions for name, functions in hits.items() if functions} == {}


def test_two_values_would_be_seen() -> None:
    assert doubled("def f():\n    found = 1\n    kept = 2") == ["f: found, kept"]
    assert doubled("def f(told):\n    return [told for told in told]") == ["f: told, told"]
    assert doubled("def f():\n    found = 1\n    if found:\n        found = 2") == ["f: found, found"]
    assert doubled("def f(a):\n    found = 1\n    found += a\n    found = found * a") == []
    assert doubled("def f(a):\n    if a:\n        found = 1\n    else:\n        found = 2\n    return found") == []
    assert doubled("def f():\n    found = 1\n    def g():\n        kept = 2") == []
