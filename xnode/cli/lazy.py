"""Lazy group: a click group whose commands are imported only when they are called, so that starting stays fast."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

MAX_HELP_CHARS = 200
"""More than any first sentence has: click would cut it, and a line that is too long is wrapped instead."""


class Lazy(NamedTuple):
    """Where a command is ("module:attribute"), and its line in the group's help, known without importing it.

    help is the first sentence of the command's own help.
    """

    target: str
    help: str


class LazyGroup(click.Group):
    """A group that lists its own commands in the order of a life, as they are defined, then the rare ones of a Lazy table."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *self.lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name].target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), f"{self.lazy[cmd_name].target} is not a command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise click.UsageError(f'there is no command "{name}"{hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._list_help())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=line) for name, line in self._list_help() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def _list_help(self) -> list[tuple[str, str]]:
        """Each command with its line, whole; the table's own lines, so that help and completion import nothing."""
        shown = [(name, command) for name, command in self.commands.items() if not command.hidden]
        rows = [(name, command.get_short_help_str(limit=MAX_HELP_CHARS)) for name, command in shown]
        return rows + [(name, lazy.help) for name, lazy in self.lazy.items()]
