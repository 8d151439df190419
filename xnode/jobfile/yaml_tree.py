"""Page: a YAML text as a tree that remembers its lines; no tags, no aliases, and limits so that no text can do harm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

MAX_PAGE_BYTES = 256 * 1024
"""Larger data belongs into an input file."""

MAX_DEPTH = 16
"""No page of ours nests deeper than four."""

MAX_NODES = 20_000
"""More than the longest legal command and environment together."""

MAX_PROBLEMS = 100
"""A person fixes the first ones first."""

# The C parser is 20 times faster and cannot be made to recurse; the Python one reads the same language.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person wrote wrong: file and line, the path of keys, what it is, and how to put it right.

    str() is one line, and with a hint a second one that begins with `hint: `.
    """

    filename: str
    line: int
    path: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.filename}:{self.line}: {self.path}: " if self.path else f"{self.filename}:{self.line}: "
        return f"{where}{self.text}" + (f"\nhint: {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it is written. quoted: it is in quotes or a block, so it is text and nothing else."""

    line: int
    text: str
    quoted: bool

    @property
    def is_null(self) -> bool:
        """True for an absent value."""
        return not self.quoted and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Listing:
    """Values in order."""

    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in order; a key may stand twice here."""

    line: int
    entries: list[tuple[Scalar, Node]] = field(default_factory=list)


Node = Scalar | Listing | Mapping


class PageError(Exception):
    """The text is not a page that we read; one problem says why."""

    def __init__(self, line: int, text: str, hint: str = "") -> None:
        self.line, self.text, self.hint = line, text, hint
        super().__init__(text)


def read_page(text: str) -> Node:
    """The tree of a one-document YAML text. Raises PageError."""
    if len(text) > MAX_PAGE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_PAGE_BYTES:
        raise PageError(1, f"the file is larger than {MAX_PAGE_BYTES // 1024} KiB", "put data into an input file")
    try:
        return _build_tree(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The parser may point behind the last line.
        line = min(mark.line, text.rstrip("\n").count("\n")) + 1 if mark else 1
        raise PageError(line, f"not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        # Characters that YAML does not have: the parser reports them without a line.
        raise PageError(1, f"not YAML: {ascii(str(error).splitlines()[0])[1:-1][:120]}") from error


def suggest(word: str, known: Iterator[str] | list[str]) -> str:
    """ "did you mean X?" for the nearest known word, or "" when none is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _build_tree(events: Iterator[Any]) -> Node:
    roots: list[Node] = []
    stack: list[tuple[Listing | Mapping, list[Scalar]]] = []
    documents = nodes = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise PageError(line, "a second document begins here", "write each job into a file of its own")
        elif isinstance(event, yaml.CollectionEndEvent):
            node, _ = stack.pop()
            _place(node, stack, roots)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            _check_node(event, line, nodes, len(stack))
            if isinstance(event, yaml.ScalarEvent):
                _place(Scalar(line, event.value, event.style not in (None, "")), stack, roots)
            elif isinstance(event, yaml.MappingStartEvent):
                stack.append((Mapping(line), []))
            else:
                stack.append((Listing(line), []))
    if not roots:
        raise PageError(1, "the file is empty")
    return roots[0]


def _check_node(event: Any, line: int, nodes: int, depth: int) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise PageError(line, "anchors and aliases (& and *) are not read here", "write the value out")
    if event.tag is not None:
        raise PageError(line, "tags (!) are not read here", "remove it")
    if depth >= MAX_DEPTH:
        raise PageError(line, f"nested deeper than {MAX_DEPTH}")
    if nodes > MAX_NODES:
        raise PageError(line, f"more than {MAX_NODES} values", "put data into an input file")


def _place(node: Node, stack: list[tuple[Listing | Mapping, list[Scalar]]], roots: list[Node]) -> None:
    if not stack:
        roots.append(node)
        return
    parent, key = stack[-1]
    if isinstance(parent, Listing):
        parent.items.append(node)
    elif key:
        name = key.pop()
        # A value that is not there is placed by the parser wherever the next thing begins.
        parent.entries.append((name, Scalar(name.line, "", False) if _is_absent(node) else node))
    elif isinstance(node, Scalar):
        key.append(node)
    else:
        raise PageError(node.line, "a key must be a word, not a list or a map")


def _is_absent(node: Node) -> bool:
    return isinstance(node, Scalar) and not node.text and not node.quoted
