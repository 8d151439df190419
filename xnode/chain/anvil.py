"""Anvil: foundry's development chain as a child process that ends with us."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import trio

from xnode.errors import ExitCode, Permanent, UserError

if TYPE_CHECKING:
    from trio_typing import TaskStatus

START_DEADLINE_S = 30.0
"""anvil is up within 0.1 s; loading a day's state on a busy machine takes longer."""

MAX_LINE_BYTES = 1 << 16
"""Of anvil's own output, which we read only to learn its port and then throw away."""

_NODE_MODULES = Path(__file__).parents[2] / "contracts" / "node_modules"
_LISTENING = re.compile(rb"Listening on (\S+):(\d+)")
_CPUS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class AnvilOptions:
    """port: 0 takes a free one; block_time_s: None mines each transaction at once; state: a dump to begin from."""

    folder: Path
    chain_id: int
    port: int = 0
    block_time_s: float | None = 1.0
    state: Path | None = None
    binary: Path | None = None


@dataclass(frozen=True, slots=True)
class Anvil:
    """A running anvil."""

    url: str
    pid: int


def find_anvil() -> Path:
    """The anvil binary: on PATH, else from the contracts' own npm packages. UserError when there is none."""
    found = shutil.which("anvil")
    if found:
        return Path(found)
    package = f"anvil-{platform.system().lower()}-{_CPUS.get(platform.machine().lower(), platform.machine())}"
    local = _NODE_MODULES / "@foundry-rs" / package / "bin" / "anvil"
    if local.is_file():
        return local
    raise UserError("no anvil on this machine", where=str(local), todo="run `make chain-node`", code=ExitCode.NOT_FOUND)


@asynccontextmanager
async def open_anvil(options: AnvilOptions) -> AsyncIterator[Anvil]:
    """A chain node on loopback. Raises Permanent when it ends by itself before we are done with it."""
    end_left_over(options.folder)
    binary = options.binary or find_anvil()
    # A session of its own: Ctrl-C must reach us first, so that the state is saved before it ends.
    process = await trio.lowlevel.open_process(
        [str(binary), *_make_arguments(options)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    _pid_file(options.folder).write_text(str(process.pid))
    try:
        assert process.stdout is not None
        async with trio.open_nursery() as nursery:
            host, port = await nursery.start(partial(_drain, process.stdout))
            yield Anvil(f"http://{host}:{port}", process.pid)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
        _pid_file(options.folder).unlink(missing_ok=True)


def end_left_over(folder: Path) -> None:
    """Ends an anvil of this folder whose owner was killed. Looks at what runs under that pid before it touches it."""
    try:
        process = psutil.Process(int(_pid_file(folder).read_text()))
        if process.name().startswith("anvil") and str(folder) in process.cmdline():
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=START_DEADLINE_S)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return


def _make_arguments(options: AnvilOptions) -> list[str]:
    arguments = ["--host", "127.0.0.1", "--port", str(options.port), "--chain-id", str(options.chain_id)]
    # Names the folder, so that a left-over can be told from any other anvil, and keeps its scratch files there.
    arguments += ["--cache-path", str(options.folder)]
    if options.block_time_s is not None:
        arguments += ["--block-time", f"{options.block_time_s:g}"]
    if options.state is not None:
        arguments += ["--load-state", str(options.state)]
    return arguments


async def _drain(
    output: trio.abc.ReceiveStream, task_status: TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED
) -> None:
    seen = bytearray()
    with trio.move_on_after(START_DEADLINE_S):
        while True:
            piece = await output.receive_some(MAX_LINE_BYTES)
            seen += piece
            found = _LISTENING.search(seen)
            if found:
                task_status.started((found[1].decode(), int(found[2])))
                break
            if not piece:
                last = seen.decode(errors="replace").strip().splitlines()[-1:]
                raise Permanent(f"anvil did not start: {' '.join(last) or 'it said nothing'}")
            del seen[:-MAX_LINE_BYTES]
    while await output.receive_some(MAX_LINE_BYTES):
        pass
    raise Permanent("anvil ended by itself; start the devnet again, it goes on from its last saved state")


def _pid_file(folder: Path) -> Path:
    return folder / "anvil.pid"


def is_alive(pid: int) -> bool:
    """True when a process of that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
