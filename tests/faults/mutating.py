"""Small changes of a module, one at a time, each of which some test should detect."""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import attrs

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
_SIGNS: Final = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.And: "and",
    ast.Or: "or",
}
_EXTREMES: Final = {"min": "max", "max": "min"}

Change = tuple[str, Callable[[ast.AST], ast.AST]]
"""The description of a change, and the function that makes it in a copy of the node."""


@attrs.frozen(kw_only=True)
class Mutant:
    """A module with one change: `text` is the changed line, without its indentation.

    If one change is possible in several places of a line, `change` numbers them.
    """

    line: int
    text: str
    change: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.line}: {self.change}: {self.text}"


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in line order; annotations are left unchanged."""
    tree = ast.parse(source)
    lines = source.splitlines()
    met: Counter[tuple[int, str]] = Counter()
    for number, node, (change, make) in _places(tree):
        changed = copy.deepcopy(tree)
        # A walk of the copy meets the same nodes in the same order.
        target = list(ast.walk(changed))[number]
        _replace(changed, target, ast.copy_location(make(target), target))
        line: int = getattr(node, "lineno", 0)
        met[line, change] += 1
        again = met[line, change]
        yield Mutant(
            line=line,
            text=lines[line - 1].strip(),
            change=change if again == 1 else f"{change} ({again})",
            tree=ast.fix_missing_locations(changed),
        )


def can_be_changed(source: str) -> bool:
    """Return whether a module has any mutant."""
    return any(True for _ in _places(ast.parse(source)))


def _places(tree: ast.Module) -> Iterator[tuple[int, ast.AST, Change]]:
    """Yield each node that can be changed, with its number in a walk, and each of its changes."""
    nodes = list(ast.walk(tree))
    left_out = set(_left_out(tree))
    for number, node in enumerate(nodes):
        if id(node) not in left_out:
            for change in _changes(node):
                yield number, node, change


def _left_out(tree: ast.Module) -> Iterator[int]:
    """Yield the nodes without effect at run time: annotations, docstrings, imports."""
    for node in ast.walk(tree):
        quiet: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            quiet.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            quiet.append(node.annotation)
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            quiet.append(node)
        for each in quiet:
            if each is not None:
                yield from map(id, ast.walk(each))


def _replace(tree: ast.Module, old: ast.AST, new: ast.AST) -> None:
    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else self.generic_visit(node)

    if new is not old:
        Replacer().visit(tree)


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in _COMPARISONS[type(operator)]:
                    yield (
                        f"{_SIGNS[type(operator)]} becomes {_SIGNS[other]}",
                        _compared(place, other),
                    )
        case ast.BoolOp():
            other_way = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield (
                f"{_SIGNS[type(node.op)]} becomes {_SIGNS[other_way]}",
                lambda found: _set(found, op=other_way()),
            )
        case ast.UnaryOp(op=ast.Not()):
            yield "not is dropped", lambda found: getattr(found, "operand", found)
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            sign = _ARITHMETIC[type(node.op)]
            yield (
                f"{_SIGNS[type(node.op)]} becomes {_SIGNS[sign]}",
                lambda found: _set(found, op=sign()),
            )
        case ast.AugAssign() if type(node.op) in _ARITHMETIC:
            sign = _ARITHMETIC[type(node.op)]
            yield (
                f"{_SIGNS[type(node.op)]}= becomes {_SIGNS[sign]}=",
                lambda found: _set(found, op=sign()),
            )
            yield from _statements(node)
        case ast.Call(func=ast.Name(id=name)) if name in _EXTREMES:
            yield (
                f"{name} becomes {_EXTREMES[name]}",
                lambda found: _set(found, func=ast.Name(_EXTREMES[name], ast.Load())),
            )
        case ast.Constant():
            yield from _constants(node.value)
        case _:
            yield from _statements(node)


def _statements(node: ast.AST) -> Iterator[Change]:
    match node:
        case (
            ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Break() | ast.Continue()
        ):
            yield "the statement is dropped", lambda _: ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "the statement is dropped", lambda _: ast.Pass()
        case ast.If() | ast.While() | ast.IfExp():
            yield (
                "the condition is turned round",
                lambda found: _set(found, test=ast.UnaryOp(ast.Not(), _test_of(found))),
            )


def _constants(value: object) -> Iterator[Change]:
    others: tuple[object, ...] = ()
    if isinstance(value, bool):
        others = (not value,)
    elif isinstance(value, int):
        others = (value + 1, value - 1) if value else (1,)
    elif isinstance(value, float):
        others = (value * 2, value / 2) if value else (1.0,)
    for other in others:
        yield f"{value} becomes {other}", _constant(other)


def _constant(value: object) -> Callable[[ast.AST], ast.AST]:
    return lambda found: _set(found, value=value)


def _compared(place: int, other: type[ast.cmpop]) -> Callable[[ast.AST], ast.AST]:
    def change(found: ast.AST) -> ast.AST:
        operators: list[ast.cmpop] = list(getattr(found, "ops", ()))
        operators[place] = other()
        return _set(found, ops=operators)

    return change


def _set(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _test_of(node: ast.AST) -> ast.expr:
    test: ast.expr = node.test  # type: ignore[attr-defined]  # only nodes that have one come here
    return test
