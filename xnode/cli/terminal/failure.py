"""Failure: what a person sees when a command does not work: one line and an exit code, never a traceback unasked."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

import click

from xnode.cli.terminal.screen import printable, style
from xnode.errors import ExitCode, Permanent, Retryable, UserError, real_error_of
from xnode.home import Home

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

PIPE_CLOSED = 141
"""128 + SIGPIPE: the reader of our output had enough."""

HINT = "hint: "
"""Begins a line that says what to do about the one above."""

MAX_CRASH_LOG_BYTES = 1 << 20
"""The log starts anew beyond this: a command in a loop must not fill the disk with its own crash."""


def report_failure(error: BaseException, home: Home, debug: bool) -> int:
    """Print one line for each thing that is wrong; the exit code."""
    if debug and not isinstance(error, click.exceptions.Exit):
        traceback.print_exception(error)
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
        case BrokenPipeError():
            # Python would complain again when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
        case OSError(filename=str() | bytes() | Path()):
            _print_error(f"{os.fsdecode(named.filename)}: {named.strerror}")
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
            file.writelines(traceback.format_exception(error))
    except OSError:
        return None
    return path


def _print_error(text: str, hint: str = "") -> None:
    """One line per problem; a line that begins with `hint:`, and the hint, tell what to do about the one above."""
    lines = [*text.splitlines(), *(f"{HINT}{line}" for line in hint.splitlines())]
    for line in lines or [""]:
        if line.startswith(HINT):
            print(style("hint:", "1;36", sys.stderr), printable(line.removeprefix(HINT)), file=sys.stderr)
        else:
            print(style("error:", "1;31", sys.stderr), printable(line), file=sys.stderr)
