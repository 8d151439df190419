"""`xnode`: the root of all commands, and the one place where a failure becomes a line and an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from xnode import __version__
from xnode.cli.app import App
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.failure import INTERRUPTED, PIPE_CLOSED, PipeClosed, report_failure
from xnode.cli.terminal.streams import leave_streams, open_streams
from xnode.errors import ExitCode
from xnode.home import Home, find_home

COMMANDS = {
    "quickstart": Lazy(
        "xnode.cli.begin.submitter:quickstart", "From nothing to a node that buys compute, in one command."
    ),
    "wallet": Lazy("xnode.cli.money.wallet:wallet", "Keys that hold money."),
    "provider": Lazy("xnode.cli.provider.commands:provider", "Sell compute on this host."),
    "daemon": Lazy("xnode.cli.node.commands:daemon", "The background node of a submitter."),
    "pay": Lazy("xnode.cli.money.commands:pay", "The deposit that pays for jobs."),
    "job": Lazy("xnode.cli.job.commands:job", "Buy compute."),
    "image": Lazy("xnode.cli.job.image:image", "The images that this node keeps for jobs."),
    "offer": Lazy("xnode.cli.job.offer:offer", "What providers on the market ask."),
    "config": Lazy("xnode.cli.node.config:config", "The node's settings: show, check, compare, reload."),
    "install": Lazy("xnode.cli.node.service:install", "Make this node a service that starts with the system."),
    "uninstall": Lazy("xnode.cli.node.service:uninstall", "Undo `xnode install`."),
    "doctor": Lazy("xnode.cli.node.doctor:doctor", "Diagnose this host and node directory."),
    "upgrade": Lazy("xnode.cli.node.upgrade:upgrade", "Say what this version would do with this home."),
    "audit": Lazy("xnode.cli.evidence.audit:audit", "Check exported evidence without a daemon or a network."),
    "fault": Lazy("xnode.cli.evidence.fault:fault", "Prove a provider wrong by its own signatures."),
    "chain": Lazy("xnode.cli.chain.commands:chain", "Ask the contracts, or deploy them."),
    "devnet": Lazy("xnode.cli.chain.devnet:devnet", "A local chain with the contracts, to try everything on."),
    "version": Lazy("xnode.cli.node.version:version", "Show the version, or verify the installation."),
    "completion": Lazy("xnode.cli.completion:completion", "Print the completion script of a shell."),
}

START_THRESHOLD = 100_000
"""New objects between two collections: about what importing the daemon makes."""


class _Root(LazyGroup):
    """The root group, whose help ends with the exit codes."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _keep_pipe_error():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _keep_pipe_error():
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl(list_exit_codes())


@contextmanager
def _keep_pipe_error() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise PipeClosed from error


def list_exit_codes() -> list[tuple[str, str]]:
    """Each exit code with what it means."""
    shell = ((INTERRUPTED, "interrupted (Ctrl-C)"), (PIPE_CLOSED, "the reader of the output went away"))
    return [*((str(int(code)), code.meaning) for code in ExitCode), *((str(code), what) for code, what in shell)]


@click.group(
    cls=_Root,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--home", metavar="DIR", help="The node directory.  [default: $XNODE_HOME or ~/.xnode]")
@click.option("--config", metavar="FILE", help="The settings.  [default: $XNODE_CONFIG or config.toml in the home]")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__, prog_name="xnode", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, home: str | None, config: str | None, debug: bool) -> None:
    """Buy and sell compute: no operator holds funds, matches jobs or stores data.

    \b
    To sell:  xnode provider setup --chain MANIFEST
    To buy:   xnode quickstart --chain MANIFEST, then xnode job submit FILE
    To try:   xnode devnet up, which makes a MANIFEST
    """
    ctx.obj = App(find_home(home, config=config), debug)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    debug = "--debug" in arguments
    try:
        result = cli.main(list(arguments), prog_name="xnode", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BaseException as error:
        # The edge of the process: whatever happens below becomes a line for a person.
        return report_failure(error, _find_home(arguments), debug)


def main() -> None:
    """Entry point of the `xnode` program."""
    # Importing makes objects by the ten thousand and no garbage: looking for some is a fifth of a daemon's start.
    gc.set_threshold(START_THRESHOLD)
    open_streams()
    code = run(sys.argv[1:])
    leave_streams()
    sys.exit(code)


def _find_home(arguments: Sequence[str]) -> Home:
    """Where to keep the traceback of a bug; by hand, because parsing itself may be what failed."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--home="):
            return find_home(argument.partition("=")[2])
        if argument == "--home":
            return find_home("".join(arguments[place + 1 : place + 2]))
    return find_home()


if __name__ == "__main__":
    main()
