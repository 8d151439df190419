"""Launch: starts the submitter's daemon in the background, and waits until it answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from xnode.cli.terminal.screen import say
from xnode.control.client import Control, check_socket_path
from xnode.errors import ExitCode, UserError
from xnode.home import Home

START_DEADLINE_S = 30.0
"""Imports, database, network and the first look at the chain take a second or two; a busy host may need more."""

STOP_DEADLINE_S = 30.0

_LOOK_EVERY_S = 0.05
_LOG_TAIL_BYTES = 4096


def ensure_daemon(home: Home) -> Control:
    """The control of this home's daemon, which is started in the background when none runs."""
    control = Control(home.control)
    if not control.is_up():
        from xnode.config.load import load_config

        # What is wrong with the settings is better said here than found in a log.
        load_config(home)
        say("starting the daemon in the background ...")
        start_daemon(home, ("daemon", "run"))
    return control


def start_daemon(home: Home, command: tuple[str, ...]) -> None:
    """Start `xnode COMMAND` detached; returns when its control answers. Raises UserError with its log's last line."""
    check_socket_path(home.control)
    home.make()
    descriptor = os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        begin = os.fstat(descriptor).st_size
        settings = () if home.config_file is None else ("--config", str(home.config_file))
        process = subprocess.Popen(
            [sys.executable, "-m", "xnode.cli.main", "--home", str(home.folder), *settings, *command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            cwd="/",
            env=_make_environment(),
        )
    finally:
        os.close(descriptor)
    _wait_until_up(home, process, begin)


def wait_until_gone(home: Home, pid: int) -> None:
    """Returns when the process has ended. Raises UserError after STOP_DEADLINE_S."""
    end = time.monotonic() + STOP_DEADLINE_S
    while _is_alive(pid):
        if time.monotonic() > end:
            raise UserError(
                f"the daemon (pid {pid}) has not ended within {STOP_DEADLINE_S:g} s",
                where=str(home.control),
                hint=f"see {home.log}; its journal survives `kill -9 {pid}`",
                code=ExitCode.TIMEOUT,
            )
        time.sleep(_LOOK_EVERY_S)


def _make_environment() -> dict[str, str]:
    """Ours, with the folder that xnode was imported from: a checkout that is not installed works from any folder."""
    source = str(Path(__file__).parents[3])
    paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _wait_until_up(home: Home, process: subprocess.Popen[bytes], log_begin: int) -> None:
    control = Control(home.control)
    end = time.monotonic() + START_DEADLINE_S
    while not control.is_up():
        if process.poll() is not None:
            raise UserError(
                f"the daemon ended at its start: {_read_last_line(home.log, log_begin)}",
                hint=f"all of its log is in {home.log}",
                code=ExitCode.FAILED,
            )
        if time.monotonic() > end:
            process.terminate()
            raise UserError(
                f"the daemon did not answer within {START_DEADLINE_S:g} s: {_read_last_line(home.log, log_begin)}",
                hint=f"all of its log is in {home.log}",
                code=ExitCode.TIMEOUT,
            )
        time.sleep(_LOOK_EVERY_S)


def _read_last_line(log: Path, begin: int) -> str:
    """The last line that was written since `begin`, hints left out."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    messages = [line for line in lines if not line.startswith("hint: ")]
    return messages[-1].removeprefix("error: ") if messages else "it wrote nothing"


def _is_alive(pid: int) -> bool:
    """False too for a zombie: in a container without an init it is not reaped, but it has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")
