"""Make the small faults that mutation testing puts into a source file, one at a time.

A mutant changes one place: a comparison, a constant, a condition, an argument, a statement. Nothing is changed in doc
strings, annotations, imports, `if TYPE_CHECKING` blocks, the texts of errors and messages, how help looks, and in
`strict` of `zip`, which guards against our own bugs: tests are not asked to notice those.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_SWAPPED_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TRUTHS = ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn
_WORDING = {"where", "fix", "help", "metavar", "title", "title_justify", "bold", "fg", "indent", "strict"}
_WORDING_CALLS = {"say", "echo", "style", "print"}

_Change = tuple[str | None, Any]
"""The description of a mutation (None: show the code before and after), and the new node."""


@dataclass(frozen=True)
class Mutant:
    """One fault. `line` and `last_line` are those of the smallest statement around it, a compound one's head.

    `name` is its own in the file, and tells it from equal changes of the same line. `on_import` says that it stands
    in no function: it counts when the module is imported.
    """

    name: str
    line: int
    last_line: int
    change: str
    on_import: bool
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a source file, in the order of the file."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    # A node of the tree is replaced, the whole tree is written out, and the node is put back.
    for place in list(_places(tree, None, worded=False, called=False)):
        original = place.get()
        for change, changed in place.mutations():
            place.set(changed)
            text = ast.unparse(tree)
            place.set(original)
            described = f"{_shown(original)} → {_shown(changed)}" if change is None else change
            first, last = _lines(place.statement)
            name = f"{first}: {described}"
            seen[name] += 1
            yield Mutant(f"{name} ({seen[name]})", first, last, described, not place.called, text)


@dataclass(frozen=True)
class _Place:
    """The place of a node: a field of its parent, or an item of a list there."""

    parent: Any
    field: str
    index: int | None
    statement: ast.stmt | None
    worded: bool
    called: bool

    def get(self) -> Any:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def set(self, node: Any) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node

    def mutations(self) -> Iterator[_Change]:
        node = self.get()
        if isinstance(node, ast.stmt):
            yield from _of_statement(node)
        elif isinstance(node, ast.expr):
            conditions = list(_of_condition(node, self.parent, self.field))
            yield from conditions
            # Tests that notice a condition that always or never holds also notice a negated one.
            if not (conditions and _is_turned_alone(node)):
                yield from _of_expression(node, self.worded)


def _places(node: ast.AST, statement: ast.stmt | None, worded: bool, called: bool) -> Iterator[_Place]:
    """Yield the places below a node; `worded`: its constants are words for people, `called`: it is in a function."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_params") or _decorates_class(node, field):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _left_out(child):
                continue
            around = child if isinstance(child, ast.stmt) else statement
            words = (
                worded or _holds_wording(child) or (isinstance(child, ast.keyword) and child.arg in _WORDING)
            )
            if not (isinstance(child, ast.keyword) and child.arg in _WORDING):
                inside = called or (isinstance(node, ast.FunctionDef) and field == "body")
                yield _Place(node, field, index, around, worded, inside)
                yield from _places(child, around, words, inside)


def _left_out(child: ast.AST) -> bool:
    if isinstance(child, ast.Import | ast.ImportFrom):
        return True
    if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
        return True
    return isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)  # a doc string


def _decorates_class(node: ast.AST, field: str) -> bool:
    return isinstance(node, ast.ClassDef) and field == "decorator_list"


def _holds_wording(node: ast.AST) -> bool:
    """Return whether a node holds words for people: an error, a message, an assertion."""
    if isinstance(node, ast.Raise | ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    return name in _WORDING_CALLS or name.endswith("Error")


def _is_turned_alone(node: ast.expr) -> bool:
    turned = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return turned or (isinstance(node, ast.Compare) and isinstance(node.ops[0], _TRUTHS))


def _of_statement(node: ast.stmt) -> Iterator[_Change]:
    if isinstance(node, ast.Expr | ast.Raise | ast.AugAssign | ast.Delete | ast.Continue | ast.Break):
        yield f"without {_shown(node)}", ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield None, ast.Return(ast.Constant(None))


def _of_condition(node: ast.expr, parent: ast.AST, field: str) -> Iterator[_Change]:
    """Yield a condition that always holds, and one that never does."""
    if isinstance(parent, ast.If | ast.IfExp) and field == "test":
        yield None, ast.Constant(True)
        yield None, ast.Constant(False)
    elif isinstance(parent, ast.comprehension) and field == "ifs":
        yield None, ast.Constant(True)
    elif isinstance(parent, ast.While) and field == "test" and not isinstance(node, ast.Constant):
        yield None, ast.Constant(False)


def _of_expression(node: ast.expr, worded: bool) -> Iterator[_Change]:
    if isinstance(node, ast.Constant):
        yield from _of_constant(node, worded)
    elif isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            ops = [*node.ops[:at], _COMPARISONS[type(operator)](), *node.ops[at + 1 :]]
            yield None, _with(node, ops=ops)
    elif isinstance(node, ast.BoolOp):
        yield None, _with(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
        for at in range(len(node.values)):
            rest = _without(node.values, at)
            yield None, _with(node, values=rest) if len(rest) > 1 else rest[0]
    elif isinstance(node, ast.UnaryOp):
        yield None, node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield None, _with(node, op=_ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.Name) and node.id in _SWAPPED_NAMES:
        yield None, ast.Name(_SWAPPED_NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    else:
        yield from _of_collection(node)


def _of_constant(node: ast.Constant, worded: bool) -> Iterator[_Change]:
    value = node.value
    if isinstance(value, bool):
        yield None, ast.Constant(not value)
    elif isinstance(value, int | float):
        yield None, ast.Constant(value + 1)
    elif isinstance(value, str) and not worded:
        yield None, ast.Constant(f"XX{value}")


def _of_call(node: ast.Call) -> Iterator[_Change]:
    """Yield the call without one of its arguments: each keyword, the last of two, each of three or more.

    Of a function of one argument, it is the argument itself; builtins seldom change what tests could see.
    """
    count = len(node.args)
    if (
        count == 1
        and not node.keywords
        and _is_own_function(node.func)
        and not isinstance(node.args[0], ast.Starred)
    ):
        yield None, node.args[0]
    for at in range(count) if count > 2 else [count - 1] if count == 2 else []:
        yield _less(node.args[at], node), _with(node, args=_without(node.args, at))
    for at, keyword in enumerate(node.keywords):
        if keyword.arg not in _WORDING:
            yield _less(keyword, node), _with(node, keywords=_without(node.keywords, at))


def _is_own_function(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else "A class, or a method"
    return not name[0].isupper() and not hasattr(builtins, name)


def _of_collection(node: ast.expr) -> Iterator[_Change]:
    """Yield a list, tuple, set or dictionary of several things without one of them."""
    if isinstance(node, ast.Dict) and len(node.keys) > 1:
        for at, key in enumerate(node.keys):
            rest = _with(node, keys=_without(node.keys, at), values=_without(node.values, at))
            yield _less(key or node.values[at], node), rest
    elif isinstance(node, ast.List | ast.Tuple | ast.Set) and len(node.elts) > 1 and _is_read(node):
        for at, each in enumerate(node.elts):
            yield _less(each, node), _with(node, elts=_without(node.elts, at))


def _is_read(node: ast.expr) -> bool:
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def _without(items: list[Any], at: int) -> list[Any]:
    return [*items[:at], *items[at + 1 :]]


def _less(part: ast.AST, whole: ast.AST) -> str:
    return f"{_shown(whole)} without {_shown(part)}"


def _with(node: Any, **values: Any) -> Any:
    changed = copy.copy(node)
    for field, value in values.items():
        setattr(changed, field, value)
    return changed


def _lines(statement: ast.stmt | None) -> tuple[int, int]:
    if statement is None:
        return 1, 1
    body = getattr(statement, "body", None)
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
    last = statement.end_lineno or statement.lineno
    return first, max(first, body[0].lineno - 1) if isinstance(body, list) and body else last


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:60]} … {text[-26:]}"
