"""Prose: wraps the repository's Markdown at one width, and leaves tables, code, HTML and headings as they are, and what a
command writes between `<!-- name -->` and `<!-- end -->`.

`python .ci/prose.py [FILE...]` rewrites the files; without any, all *.md of git's that no command writes (.gitattributes).
--check only names those it would change.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

WIDTH = 100

_FENCE = re.compile(r"\s*(```|~~~)")
_BEGIN, _END = re.compile(r"<!-- \w+ -->"), "<!-- end -->"
_ITEM = re.compile(r"(\s*)([-*+]|\d{1,3}[.)])(\s+)(.*)")
_QUOTE = re.compile(r"\s*> ?")
_AS_IS = re.compile(r"\s*(#|\||<|!!!|\[[^\]]+\]: |([-*_] ?){3,}$)")
_LINK_OR_CODE = re.compile(r"`[^`]+`|!?\[[^\]]*\]\([^)]*\)")
_MARKS_A_BLOCK = re.compile(r"([-*+>]|#+|=+|-+|\d{1,3}[.)])$")
_GLUE = "\0"


def wrap_markdown(text: str) -> str:
    """The text with every paragraph and list item filled to WIDTH."""
    return "\n".join(_wrap_lines(text.split("\n")))


def _wrap_lines(lines: list[str]) -> Iterator[str]:
    paragraph: list[str] = []
    in_list, end = False, ""
    for number, line in enumerate(lines):
        if end:
            yield line
            end = "" if line.strip() == end else end
            continue
        opened = _find_end(number, line)
        item = _ITEM.match(line)
        is_code = line.startswith("    ") and not paragraph and not in_list
        if opened or not line.strip() or _AS_IS.match(line) or is_code:
            yield from _fill(paragraph)
            paragraph = []
            yield line
            end = opened
            in_list = in_list and (not line.strip() or line[0].isspace())
            continue
        if item or (paragraph and bool(_QUOTE.match(line)) != bool(_QUOTE.match(paragraph[0]))):
            yield from _fill(paragraph)
            paragraph = []
        in_list = bool(item) or (in_list and (bool(paragraph) or line[0].isspace()))
        paragraph.append(line)
        if line.endswith(("  ", "\\")):
            yield from _fill(paragraph)
            paragraph = []
    yield from _fill(paragraph)


def _find_end(number: int, line: str) -> str:
    """The line that ends what begins here and stays as it is: code, front matter, a part that is made; else ""."""
    if fence := _FENCE.match(line):
        return fence[1]
    if number == 0 and line == "---":
        return line
    return _END if _BEGIN.fullmatch(line) and line != _END else ""


def _fill(paragraph: list[str]) -> list[str]:
    if not paragraph:
        return []
    item, quote = _ITEM.match(paragraph[0]), _QUOTE.match(paragraph[0])
    if item:
        first = f"{item[1]}{item[2]} "
        rest, words = " " * len(first), [item[4], *paragraph[1:]]
    elif quote:
        first = rest = quote[0].rstrip() + " "
        words = [_QUOTE.sub("", line, count=1) for line in paragraph]
    else:
        first = rest = paragraph[0][: len(paragraph[0]) - len(paragraph[0].lstrip())]
        words = paragraph
    hard_break = paragraph[-1][len(paragraph[-1].rstrip()) :] if paragraph[-1].endswith("  ") else ""
    filled = textwrap.wrap(
        _glue(" ".join(" ".join(words).split())),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in filled[:-1]] + [filled[-1].replace(_GLUE, " ") + hard_break]


def _glue(text: str) -> str:
    """Where no line may break: within code, and before what would begin a list, a quote or a heading on a line of its own."""
    text = _LINK_OR_CODE.sub(
        lambda found: found[0].replace(" ", _GLUE) if len(found[0]) < WIDTH // 2 else found[0], text
    )
    first, *others = text.split(" ")
    return first + "".join((_GLUE if _MARKS_A_BLOCK.match(word) else " ") + word for word in others)


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    named = [Path(argument) for argument in arguments if argument != "--check"]
    if not named:
        command = ["git", "ls-files", "-z", "*.md", ":(exclude,attr:linguist-generated)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        named = [Path(name) for name in done.stdout.split("\0") if name and Path(name).is_file()]
    changed = [path for path in named if (text := path.read_text()) != wrap_markdown(text)]
    for path in changed:
        if check:
            print(f"{path}: not wrapped at {WIDTH} columns", file=sys.stderr)
        else:
            path.write_text(wrap_markdown(path.read_text()))
    if check and changed:
        print("hint: make format", file=sys.stderr)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
