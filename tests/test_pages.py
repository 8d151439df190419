"""Pages: what the documents for people show must be there: commands, options, files, metrics, pages of the site."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml

from xnode.cli.main import cli
from xnode.net.counters import NetCounters

ROOT = Path(__file__).parent.parent
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))

HISTORY = {"CHANGELOG.md", "DECISIONS.md"}
"""They also name what is gone."""

_BLOCK = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LABELLED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z\-]*")


def list_commands(text: str) -> Iterator[list[str]]:
    """The words after `xnode` of every command in a block without a language, and in code within a sentence."""
    for block in _BLOCK.findall(text):
        for line in re.findall(r"^(?:.*(?:&&|;) )?xnode ([^#&;\n]+)", block, re.MULTILINE):
            yield line.split()
    for code in re.findall(r"`xnode ([^`]+)`", _LABELLED.sub("", text)):
        yield code.split()


def find_wrong(words: list[str]) -> str:
    """What of a command line is not there, or ""."""
    group: click.Command = cli
    context = click.Context(cli)
    rest = list(words)
    while rest and isinstance(group, click.Group):
        word = rest[0]
        if word.startswith("-"):
            known = {name for parameter in group.params for name in (*parameter.opts, "--help", "--version")}
            if word not in known:
                return f"option {word}"
            rest.pop(0)
            continue
        if not _WORD.fullmatch(word):
            return ""
        found = group.get_command(context, word)
        if found is None:
            # A group that is a command itself takes arguments of its own.
            return "" if group.invoke_without_command and group is not cli else f"command {word}"
        group = found
        rest.pop(0)
    options = {name for parameter in group.params for name in parameter.opts} | {"--help"}
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - options
    return f"options {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_every_command_that_a_page_shows_is_one(page: str) -> None:
    for words in list_commands((ROOT / page).read_text()):
        first = " ".join(words).split(" | ")[0]
        assert not find_wrong(first.split()), f"{page}: xnode {first}"


def test_a_command_that_is_not_there_is_noticed() -> None:
    text = "```\nxnode job submit --fast job.yaml\n```\nand `xnode job\nfrobnicate`"
    assert [find_wrong(words) for words in list_commands(text)] == ["options --fast", "command frobnicate"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]+))?\)", (ROOT / page).read_text()):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in list_anchors(path.read_text()), f"{page} links to {target}#{anchor}"


def list_anchors(text: str) -> set[str]:
    """The anchors that headings get, as code hosts and the docs site make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_every_make_target_that_a_page_shows_is_one(page: str) -> None:
    targets = set(re.findall(r"^([a-z\-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / page).read_text()
    shown = {word for block in _BLOCK.findall(text) for word in re.findall(r"^make ([a-z\-]+)", block, re.MULTILINE)}
    shown |= set(re.findall(r"`make ([a-z\-]+)", text))
    assert shown <= targets | {"-"}, f"{page}: there is no make {', '.join(sorted(shown - targets))}"


def test_every_page_is_on_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    shown = set(list_pages(site["nav"]))
    assert {page for page in PAGES if page.startswith("docs/")} <= shown
    assert all((ROOT / page).is_file() for page in shown)


def list_pages(entry: object) -> Iterator[str]:
    """The files that a part of the site's navigation names."""
    match entry:
        case str():
            yield entry
        case list():
            for part in entry:
                yield from list_pages(part)
        case dict():
            for part in entry.values():
                yield from list_pages(part)


def test_every_counter_of_the_net_is_explained_to_operators() -> None:
    named = set(re.findall(r"`xnode_net_(\w+)`", (ROOT / "docs/operating.md").read_text()))
    assert named == {field.name for field in fields(NetCounters)}


def list_messages(source: str) -> Iterator[str]:
    """Every text in a module, each of its fields as a zero byte."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            yield "".join(str(part) for part in parts)


def test_every_message_of_the_troubleshooting_page_is_in_the_code() -> None:
    modules = [path for part in ("xnode", "scheduler", "metering") for path in ROOT.glob(f"{part}/**/*.py")]
    said = "\n".join(text for path in modules for text in list_messages(path.read_text()))
    said += "\n" + (ROOT / "Makefile").read_text()
    page = (ROOT / "docs/troubleshooting.md").read_text()
    symptoms = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    quoted = [text for symptom in symptoms for text in re.findall(r"`([^`]+)`", symptom)]
    missing = [
        text
        for text in quoted
        for piece in re.split(r"\.\.\.|: |\b[A-Z]+\b", text)
        if len(piece.strip()) > 3 and piece.strip(" :;()") not in said
    ]
    assert len(quoted) > 50
    assert missing == []


PLACES = ("xnode", "scheduler", "metering", "contracts", "tests", "examples", "docs")


@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(rf"`((?:{'|'.join(PLACES)})/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
    modules = {
        path.replace(".", "/")
        for path in re.findall(r"^from ((?:xnode|tests|metering)\.[\w.]+) import", text, re.MULTILINE)
    }
    assert [path for path in modules if not (ROOT / path).is_dir() and not (ROOT / f"{path}.py").is_file()] == []
