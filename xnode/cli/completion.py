"""`xnode completion`: what makes a shell complete commands and options at the Tab key."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from xnode.cli.main import cli

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_XNODE_COMPLETE"
"""click completes instead of running when the shell sets it."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(xnode completion bash)"   in ~/.bashrc
    zsh:   eval "$(xnode completion zsh)"    in ~/.zshrc
    fish:  xnode completion fish | source    in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "xnode", VARIABLE).source())
