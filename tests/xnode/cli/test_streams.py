"""Where output goes: a full disk, a reader that left, a closed descriptor, a terminal without our characters: one line each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.xnode.cli.conftest import DEADLINE_S
from xnode.cli.terminal.failure import PIPE_CLOSED
from xnode.errors import ExitCode


def run_in_shell(environment: dict[str, str], line: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    program = f"{sys.executable} -m xnode.cli.main"
    shell = ["bash", "-o", "pipefail", "-c", line.replace("xnode ", f"{program} ")]
    return subprocess.run(shell, env={**environment, **more}, capture_output=True, timeout=DEADLINE_S, check=False)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("xnode --help >/dev/full", ExitCode.FAILED, "error: No space left on device"),
        ("xnode chain views escrow >/dev/full", ExitCode.FAILED, "error: No space left on device"),
        ("xnode --help >&-", ExitCode.FAILED, "error: standard output is closed"),
        ("xnode job ls >&-", ExitCode.NO_DAEMON, "no daemon is running"),
        ("xnode job ls 2>&-", ExitCode.NO_DAEMON, ""),
        ("xnode job ls 2>/dev/full", ExitCode.NO_DAEMON, ""),
        ("xnode chain views escrow -o json | true", PIPE_CLOSED, ""),
        ("xnode job init 0<&- 1>&- 2>&-", ExitCode.OK, ""),
    ],
)
def test_output_that_cannot_be_written_is_a_line_and_a_code(
    environment: dict[str, str], line: str, code: int, said: str
) -> None:
    done = run_in_shell(environment, f"cd $XNODE_HOME; {line}")
    shown = done.stderr.decode()
    assert done.returncode == code, shown
    assert said in shown and "bug in xnode" not in shown and "Exception ignored" not in shown


@pytest.mark.parametrize(
    "more",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
    ],
)
def test_a_terminal_without_our_characters_shows_others(environment: dict[str, str], more: dict[str, str]) -> None:
    done = run_in_shell(environment, "xnode audit '…× 日本'", **more)
    assert done.returncode == ExitCode.USAGE
    assert b"error: Invalid value for 'DIR'" in done.stderr and b"bug" not in done.stderr
