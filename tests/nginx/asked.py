"""Which annotations and ConfigMap keys tests ask of nginx: read from their source, so that none is forgotten quietly.

Only tests that run over both renderers count. An annotation is asked for where its name flows into the objects that a
test makes, a key where it flows into `config=`; a name that a docstring mentions, or another name that begins with it,
is nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BOTH = {"served", "renderer"}  # fixtures with a parameter for each renderer
MAKERS = {"site", "ingress"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Asked:
    """Names without prefixes."""

    annotations: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


def asked(folder: Path) -> Asked:
    """Read the tests of a folder."""
    found = Asked()
    for path in sorted(folder.glob("test_*.py")):
        module = ast.parse(path.read_text())
        functions = [node for node in module.body if isinstance(node, Function)]
        makers = MAKERS | {item.name for item in functions if not _is_test(item) and _calls(item, MAKERS)}
        for item in functions:
            if _is_test(item) and {arg.arg for arg in item.args.args} & BOTH:
                _add(found, item, _Names(module, item), makers)
    return found


def _is_test(item: Function) -> bool:
    return item.name.startswith("test_")


def _calls(item: ast.AST, names: set[str]) -> list[ast.Call]:
    calls = (node for node in ast.walk(item) if isinstance(node, ast.Call))
    return [node for node in calls if isinstance(node.func, ast.Name) and node.func.id in names]


def _add(found: Asked, test: Function, names: _Names, makers: set[str]) -> None:
    for call in _calls(test, makers):
        for value in (*call.args, *(item.value for item in call.keywords)):
            found.annotations |= {text.rpartition("/")[2] for text in names.texts(value)}
        found.annotations |= {item.arg.replace("_", "-") for item in call.keywords if item.arg}
    for node in ast.walk(test):
        if isinstance(node, ast.keyword) and node.arg == "config":
            found.keys |= names.texts(node.value)


class _Names:
    """What the names in a test can stand for: everything that is ever assigned to them, here or in the module."""

    def __init__(self, module: ast.Module, test: Function) -> None:
        self._values: dict[str, list[ast.expr]] = {}
        for statement in module.body:
            self._assign(statement)
        for node in ast.walk(test):
            self._assign(node)
            if isinstance(node, Function) and node is not test:
                self._bind(node, _calls(test, {node.name}))

    def texts(self, node: ast.AST, seen: frozenset[str] = frozenset()) -> set[str]:
        """All literal texts that an expression can hold."""
        found = set()
        for item in ast.walk(node):
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                found.add(item.value)
            elif isinstance(item, ast.Name) and item.id not in seen:
                for value in self._values.get(item.id, ()):
                    found |= self.texts(value, seen | {item.id})
        return found

    def _assign(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._keep(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            self._keep(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            self._keep(node.target, node.iter)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            self._keep(node.func.value, *node.args)

    def _keep(self, target: ast.expr, *values: ast.expr) -> None:
        for name in _names(target):
            self._values.setdefault(name, []).extend(values)

    def _bind(self, function: Function, calls: list[ast.Call]) -> None:
        for call in calls:
            for arg, value in zip(function.args.args, call.args, strict=False):
                self._values.setdefault(arg.arg, []).append(value)
            for keyword in call.keywords:
                self._values.setdefault(keyword.arg or "", []).append(keyword.value)


def _names(target: ast.expr) -> Iterator[str]:
    """The names that are assigned to, also when it is an entry of a dict that is."""
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id
