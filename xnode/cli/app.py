"""App: what every command gets: the home, and the ways to the config and to the daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xnode.cli.terminal.screen import FORMATS, Screen
from xnode.control.client import Control
from xnode.home import Home

if TYPE_CHECKING:
    from xnode.config.settings import Config

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class App:
    """home: of the node this command is about; debug: print tracebacks."""

    home: Home
    debug: bool

    @property
    def control(self) -> Control:
        return Control(self.home.control)

    def load_config(self) -> Config:
        # pydantic costs a quarter of a second, which commands that need no settings do not pay.
        from xnode.config.load import load_config

        return load_config(self.home)


pass_app = click.make_pass_decorator(App)


def output_option(command: Command) -> Command:
    """Adds -o and hands the command a Screen as `screen`."""

    def make_screen(_ctx: click.Context, _param: click.Parameter, value: str) -> Screen:
        return Screen(value)

    return click.option(
        "-o",
        "--output",
        "screen",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        callback=make_screen,
        help="How to print what was asked for.",
    )(command)
