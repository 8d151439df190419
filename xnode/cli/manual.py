"""Manual: the man page of `xnode`, made from the commands themselves: `python -m xnode.cli.manual > xnode.1`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc

import click

from xnode import __version__
from xnode.cli.main import cli, list_exit_codes
from xnode.cli.terminal.password import VARIABLE as PASSWORD_VARIABLE
from xnode.home import CONFIG_VARIABLE, HOME_VARIABLE

VARIABLES = {
    HOME_VARIABLE: "the node's home, as `--home`",
    CONFIG_VARIABLE: "the file with the node's settings, as `--config`; without it `config.toml` in the home",
    "ETH_FROM": "the wallet that a command uses, where it has `--from`, `--owner` or `--payer`",
    "ETH_KEYSTORE": "the folder of the wallets' key files; without it `keystore` in the home",
    PASSWORD_VARIABLE: "file with the wallet's password, as `--password-file`",
    "XNODE_ANVIL": "the anvil that `xnode devnet up` runs; without it the one on PATH",
    "NO_COLOR": "when set, no colors",
}
"""What commands read besides the settings."""

SETTING = {"XNODE_SECTION__KEY": "overrides KEY of [SECTION] in config.toml"}

FILES = {
    "~/.xnode/config.toml": "the node's settings",
    "~/.xnode/keystore/": "wallets, as encrypted key files",
    "~/.xnode/daemon.log": "what a daemon in the background logs",
}

_CODE = re.compile(r"`([^`]+)`")


def make_manual() -> str:
    """The page in roff, every command with its options in it."""
    lines = [
        f'.TH XNODE 1 "" "xnode {__version__}" "User Commands"',
        ".SH NAME",
        r"xnode \- buy and sell compute",
        *_describe(cli, ["xnode"], ".SH SYNOPSIS", ".SH DESCRIPTION"),
        ".SH COMMANDS",
    ]
    for path, command in walk(cli, ["xnode"]):
        if len(path) > 1:
            lines += _describe(command, path, f'.SS "{_escape(" ".join(path))}"', ".PP")
    lines += [".SH EXIT STATUS", *_list_terms(dict(list_exit_codes()))]
    lines += [".SH ENVIRONMENT", *_list_terms(VARIABLES | SETTING), ".SH FILES", *_list_terms(FILES)]
    return "\n".join(lines) + "\n"


def walk(command: click.Command, path: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    """Every command that help shows, with the words that call it, in the order of help."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from walk(found, [*path, name])


def _describe(command: click.Command, path: list[str], usage: str, text: str) -> list[str]:
    context = click.Context(command, info_name=" ".join(path))
    pieces = command.collect_usage_pieces(context)
    lines = [usage, rf"\fB{_escape(' '.join(path))}\fR {_escape(' '.join(pieces))}"]
    lines += [text, *_make_paragraphs(command.help or "")]
    records = [parameter.get_help_record(context) for parameter in command.params]
    return [*lines, *_list_terms({record[0]: record[1] for record in records if record and record[1]})]


def _make_paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(cleandoc(text).split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            # As click has it: what follows is shown line by line.
            yield from (".nf", *(_escape(line) for line in paragraph.split("\n")[1:]), ".fi")
        else:
            yield _escape(" ".join(paragraph.split()))


def _list_terms(terms: dict[str, str]) -> Iterator[str]:
    for term, text in terms.items():
        yield from (".TP", rf"\fB{_escape(term)}\fR", _escape(" ".join(text.split())))


def _escape(text: str) -> str:
    """Text that roff sets as it is, with what is in backticks in bold."""
    text = _CODE.sub(r"\\fB\1\\fR", text.replace("\\", r"\e").replace("-", r"\-"))
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.stdout.write(make_manual())
