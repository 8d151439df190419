"""The mutants of one source: small changes, each at a place that the compiler's own syntax tree names, in the source's order."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Node = dict[str, Any]

BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
ARITHMETIC = {
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "%": "*",
    "&": "|",
    "|": "&",
    "^": "&",
    "<<": ">>",
    ">>": "<<",
    "**": "*",
}
COMPOUND = {"+=": ("-=", "="), "-=": ("+=", "="), "*=": ("/=",), "/=": ("*=",), "|=": ("&=", "="), "&=": ("|=", "=")}
OPCODES = {
    "add": "sub",
    "sub": "add",
    "mul": "div",
    "div": "mul",
    "shl": "shr",
    "shr": "shl",
    "and": "or",
    "or": "and",
    "lt": "gt",
    "gt": "lt",
    "eq": "xor",
    "xor": "or",
    "mload": "not",
    "iszero": "not",
    "sload": "not",
}
NO_CODE = {
    *("PragmaDirective", "ImportDirective", "EventDefinition", "ErrorDefinition", "StructDefinition", "EnumDefinition"),
    *(
        "UsingForDirective",
        "ElementaryTypeName",
        "UserDefinedTypeName",
        "ArrayTypeName",
        "Mapping",
        "OverrideSpecifier",
    ),
    *("StructuredDocumentation", "InheritanceSpecifier", "ElementaryTypeNameExpression"),
}
"""Nodes with nothing to change that runs."""

NOTHING = b"0"
"""What stands where a statement was removed: an expression without effect."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the bytes from start to end of the source are replaced by text."""

    source: str
    line: int
    operator: str
    start: int
    end: int
    text: bytes
    before: str
    """The line as it is, stripped."""

    after: str
    """The line (or lines) as the mutant has it."""

    repetition: int
    """How many equal changes of equal lines come before it."""

    def apply(self, code: bytes) -> bytes:
        return code[: self.start] + self.text + code[self.end :]

    def key(self, code: bytes) -> str:
        """Names this change of this source in every run, also after comments have changed."""
        told = (self.source, self.operator, self.before, self.after, str(self.repetition), strip(code))
        return hashlib.sha256("\0".join(told).encode()).hexdigest()[:20]


def strip(code: bytes) -> str:
    """The code without comments and without regard to spaces."""
    return " ".join(re.sub(rb"//[^\n]*|/\*.*?\*/", b"", code, flags=re.DOTALL).decode().split())


def make_mutants(source: str, code: bytes, tree: Node) -> list[Mutant]:
    """Every mutant of the source, each change once, by place. tree is solc's AST of it."""
    seen: dict[tuple[int, int, bytes], str] = {}
    for operator, start, end, text in walk(tree, None, code):
        if code[start:end] != text:
            seen.setdefault((start, end, text), operator)
    made: list[Mutant] = []
    counted: Counter[tuple[str, str, str]] = Counter()
    for (start, end, text), operator in sorted(seen.items()):
        before, after = show_lines(code, start, end, text)
        repetition = counted[operator, before, after]
        counted[operator, before, after] += 1
        line = code.count(b"\n", 0, start) + 1
        made.append(Mutant(source, line, operator, start, end, text, before, after, repetition))
    return made


def show_lines(code: bytes, start: int, end: int, text: bytes) -> tuple[str, str]:
    """The changed lines before and after, in single spaces."""
    first, last = code.rfind(b"\n", 0, start) + 1, code.find(b"\n", end)
    before, after = code[first:last], code[first:start] + text + code[end:last]
    return " ".join(before.decode().split()), " ".join(after.decode().split())


Change = tuple[str, int, int, bytes]


def walk(node: Any, parent: Node | None, code: bytes) -> Iterator[Change]:
    """The changes at this node and below it."""
    if isinstance(node, list):
        for child in node:
            yield from walk(child, parent, code)
    elif isinstance(node, dict) and node.get("nodeType") not in NO_CODE:
        change = CHANGES.get(node.get("nodeType", ""))
        if change is not None:
            yield from change(node, parent or {}, code)
        for name, child in node.items():
            if name != "typeName" and isinstance(child, dict | list):
                yield from walk(child, node if "nodeType" in node else parent, code)


def span(node: Node) -> tuple[int, int]:
    start, length, _ = (int(part) for part in node["src"].split(":"))
    return start, start + length


def text_of(node: Node, code: bytes) -> bytes:
    start, end = span(node)
    return code[start:end]


# ---- Solidity


def change_binary(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    operator = node["operator"]
    if operator in ("&&", "||"):
        yield "operand dropped", *span(node), text_of(node["leftExpression"], code)
        yield "operand dropped", *span(node), text_of(node["rightExpression"], code)
        return
    kind, other = ("boundary", BOUNDARY[operator]) if operator in BOUNDARY else ("arithmetic", ARITHMETIC[operator])
    start = code.index(operator.encode(), span(node["leftExpression"])[1])
    yield kind, start, start + len(operator), other.encode()


def change_assignment(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    operator = node["operator"]
    start = code.index(operator.encode(), span(node["leftHandSide"])[1])
    for other in COMPOUND.get(operator, ()):
        yield "assignment", start, start + len(operator), other.encode()


def change_unary(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    start, end = span(node)
    if node["operator"] == "!":
        yield "negation dropped", start, end, text_of(node["subExpression"], code)
    elif node["operator"] in ("++", "--") and parent.get("nodeType") != "ExpressionStatement":
        other = b"--" if node["operator"] == "++" else b"++"
        yield "arithmetic", start, end, code[start:end].replace(node["operator"].encode(), other)


def change_if(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    yield "condition", *span(node["condition"]), b"false"
    if not is_revert(node["trueBody"]) or node.get("falseBody"):
        yield "condition", *span(node["condition"]), b"true"


def is_revert(body: Node) -> bool:
    if body["nodeType"] == "Block":
        return len(body["statements"]) == 1 and is_revert(body["statements"][0])
    return bool(body["nodeType"] == "RevertStatement")


def change_ternary(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    yield "choice", *span(node), text_of(node["trueExpression"], code)
    yield "choice", *span(node), text_of(node["falseExpression"], code)


def change_statement(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    yield "statement removed", *span(node), NOTHING


def change_event(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    yield "event removed", *span(node), NOTHING


def change_revert(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    alone = parent.get("nodeType") == "Block" and len(parent["statements"]) == 1
    if parent.get("nodeType") != "IfStatement" and not alone:
        yield "revert removed", *span(node), NOTHING


def change_return(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    value = node.get("expression")
    if value is None:
        yield "return removed", *span(node), NOTHING
        return
    kind = value["typeDescriptions"]["typeString"]
    if kind == "bool":
        yield "return value", *span(value), b"!(" + text_of(value, code) + b")"
    elif kind.startswith(("uint", "int_const", "int")):
        yield "return value", *span(value), b"0"
    elif kind in ("address", "bytes32", "bytes4"):
        yield "return value", *span(value), kind.encode() + b"(0)"


def change_literal(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    if node.get("kind") != "number" or "value" not in node:
        return
    written = text_of(node, code)
    digits, _, unit = written.partition(b" ")
    plain = digits.replace(b"_", b"")
    if not plain.isdigit() and not plain.startswith(b"0x"):
        return
    value = int(plain, 0)
    other = 0 if value == 1 else value + 1
    shown = f"0x{other:0{len(plain) - 2}x}" if plain.startswith(b"0x") else str(other)
    yield "constant", *span(node), shown.encode() + (b" " + unit if unit else b"")


def change_call(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    # Whose two (first) arguments may come in any order.
    if node["expression"].get("memberName") in ("min", "max", "mulDiv"):
        return
    given = node["arguments"]
    for left, right in pairwise(given):
        kinds = [part["typeDescriptions"].get("typeString") for part in (left, right)]
        if kinds[0] == kinds[1] or all(str(kind).startswith("uint") for kind in kinds):
            start, end = span(left)[0], span(right)[1]
            between = code[span(left)[1] : span(right)[0]]
            yield "arguments swapped", start, end, text_of(right, code) + between + text_of(left, code)


def change_function(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    for modifier in node.get("modifiers", []):
        if modifier.get("kind") == "modifierInvocation":
            yield "modifier removed", *span(modifier), b""


# ---- Assembly


def change_opcode(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    name = node["functionName"]
    if name["name"] in OPCODES:
        yield "opcode", *span(name), OPCODES[name["name"]].encode()


def change_yul_literal(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    if node.get("kind") == "number":
        yield from change_literal(node, parent, code)


def change_yul_statement(node: Node, parent: Node, code: bytes) -> Iterator[Change]:
    yield "statement removed", *span(node), b"{}"


CHANGES = {
    "BinaryOperation": change_binary,
    "Assignment": change_assignment,
    "UnaryOperation": change_unary,
    "IfStatement": change_if,
    "Conditional": change_ternary,
    "ExpressionStatement": change_statement,
    "Continue": change_statement,
    "Break": change_statement,
    "EmitStatement": change_event,
    "RevertStatement": change_revert,
    "Return": change_return,
    "Literal": change_literal,
    "FunctionCall": change_call,
    "FunctionDefinition": change_function,
    "YulFunctionCall": change_opcode,
    "YulLiteral": change_yul_literal,
    "YulExpressionStatement": change_yul_statement,
    "YulAssignment": change_yul_statement,
}
