"""Failure: what a person sees when a command does not work: one line and an exit code, never a traceback unasked."""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import click

from xnode.cli.terminal.screen import printable, style
from xnode.cli.terminal.streams import drop_output
from xnode.errors import ExitCode, Permanent, Retryable, UserError, real_error_of
from xnode.home import Home

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

PIPE_CLOSED = 141
"""128 + SIGPIPE: the reader of our output had enough."""

MAX_LINE_CHARS = 600
"""Of what is printed of one problem: a value of any length may be in it."""

_HINTS = {errno.ENOSPC: "make room on that disk", errno.EDQUOT: "make room", errno.EMFILE: "raise `ulimit -n`"}

HINT = "hint: "
"""Begins a line that says what to do about the one above."""

MAX_CRASH_LOG_BYTES = 1 << 20
"""The log starts anew beyond this: a command in a loop must not fill the disk with its own crash."""


class PipeClosed(Exception):
    """The reader of our output went away. Not an OSError: click would answer that itself, with an exit code of its own."""


def report_failure(error: BaseException, home: Home, debug: bool) -> int:
    """Print one line for each thing that is wrong; the exit code."""
    if debug and not isinstance(error, click.exceptions.Exit):
        print(_format_traceback(error), end="", file=sys.stderr)
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(ExitCode.FAILED)
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return int(ExitCode.USAGE)
        case KeyboardInterrupt() | click.Abort():
            _print_error("interrupted")
            return INTERRUPTED
        case PipeClosed() | BrokenPipeError():
            # Python would complain again when it flushes stdout at exit.
            drop_output("stdout")
            return PIPE_CLOSED
        case click.ClickException():
            return _report_usage(error)
    return _report_named(error, home)


def _report_usage(error: click.ClickException) -> int:
    text, _, hint = " ".join(error.format_message().split()).rstrip(".").partition("; ")
    if isinstance(error, click.UsageError) and error.ctx:
        hint = f"{hint}\nsee `{error.ctx.command_path} --help`".strip()
    _print_error(text, hint)
    return error.exit_code


def _report_named(error: BaseException, home: Home) -> int:
    match named := real_error_of(error):
        case UserError():
            _print_error(named.sentence, named.hint)
            return int(named.code)
        case KeyboardInterrupt():
            _print_error("interrupted")
            return INTERRUPTED
        case Permanent():
            if named.reason_code == "reverted":
                return _report_revert(named)
            _print_error(named.message, named.hint)
            return int(ExitCode.FAILED)
        case Retryable():
            _print_error(named.message, named.hint or "try again")
            return int(ExitCode.UNREACHABLE)
        case OSError():
            # The world's fault and never ours: a full disk, too few descriptors, an output that was closed.
            where = named.filename if isinstance(named.filename, str | bytes | Path) else ""
            what = named.strerror or str(named) or type(named).__name__
            _print_error(f"{os.fsdecode(where)}: {what}" if where else what, _HINTS.get(named.errno or 0, ""))
            return int(ExitCode.FAILED)
    return _report_bug(error, home)


def _report_revert(error: Permanent) -> int:
    # Only now: most commands need nothing of the chain.
    from xnode.chain.node.json_rpc import Reverted
    from xnode.cli.terminal.reverts import explain

    if not isinstance(error, Reverted):
        _print_error(error.message, error.hint)
        return int(ExitCode.FAILED)
    explained = explain(error.revert)
    _print_error(explained.sentence, explained.hint)
    return int(explained.code)


def _report_bug(error: BaseException, home: Home) -> int:
    kept = _keep_traceback(error, home)
    what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    _print_error(f"this is a bug in xnode ({what})", f"its traceback is in {kept}" if kept else "see --debug")
    return int(ExitCode.FAILED)


def _keep_traceback(error: BaseException, home: Home) -> Path | None:
    try:
        home.make()
        path = home.crash_log
        full = path.exists() and path.stat().st_size > MAX_CRASH_LOG_BYTES
        with path.open("w" if full else "a") as file:
            path.chmod(0o600)
            # The command's own name, never its arguments: they could hold a secret.
            file.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n")
            file.write(_format_traceback(error))
    except OSError:
        return None
    return path


def _format_traceback(error: BaseException) -> str:
    """As Python has it, but what a stranger said in it steers no terminal."""
    text = "".join(traceback.format_exception(error))
    return "\n".join(printable(line) for line in text.split("\n"))


def _print_error(text: str, hint: str = "") -> None:
    """One line per problem; a line that begins with `hint:`, and the hint, tell what to do about the one above."""
    # Only our own line breaks: others come from strangers.
    lines = [*text.split("\n"), *(f"{HINT}{line}" for line in hint.split("\n") if hint)]
    # Of a standard error that cannot be written either, the exit code is all that is left to say.
    with suppress(OSError):
        for line in lines or [""]:
            shown = printable(line.removeprefix(HINT))
            shown = shown if len(shown) <= MAX_LINE_CHARS else shown[: MAX_LINE_CHARS - 1] + "…"
            word = style("hint:", "1;36", sys.stderr) if line.startswith(HINT) else style("error:", "1;31", sys.stderr)
            print(word, shown, file=sys.stderr)
