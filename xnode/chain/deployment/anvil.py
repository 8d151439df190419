"""Anvil: foundry's development chain as a child process that ends with us."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import trio

from xnode.errors import ExitCode, Permanent, UserError
from xnode.private_lock import LockBusy, hold_private_lock

if TYPE_CHECKING:
    from trio_typing import TaskStatus

START_DEADLINE_S = 30.0
"""anvil is up within 0.1 s; loading a day's state on a busy machine takes longer."""

KEPT_STATES = 128
"""Blocks whose state can still be asked for, as many as ordinary nodes keep; blocks and logs are kept from the first."""

MAX_LINE_BYTES = 1 << 16
"""Of anvil's own output, which we read only to learn its port and then throw away."""

VARIABLE = "XNODE_ANVIL"
"""The file to run instead of the anvil on PATH."""

_CONTRACTS = Path(__file__).parents[3] / "contracts"
"""Of a checkout; beside an installed package there is no such folder."""

_LISTENING = re.compile(rb"Listening on (\S+):(\d+)")
_IN_USE = "Address already in use"
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
    """The anvil binary: the one XNODE_ANVIL names, else on PATH, else from the npm packages of a checkout's contracts.

    Raises UserError when there is none.
    """
    named = os.environ.get(VARIABLE)
    if named and not os.access(named, os.X_OK):
        raise UserError("not a program", where=f"{VARIABLE}={named}", hint="name the file of foundry's anvil")
    found = named or shutil.which("anvil")
    if found:
        return Path(found)
    package = f"anvil-{platform.system().lower()}-{_CPUS.get(platform.machine().lower(), platform.machine())}"
    local = _CONTRACTS / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if local.is_file():
        return local
    get_it = f"install foundry (https://getfoundry.sh), or name its anvil in {VARIABLE}"
    hint = "run `make chain-node`" if _CONTRACTS.is_dir() else get_it
    raise UserError(
        "the chain of a devnet is foundry's anvil, which is not on PATH", hint=hint, code=ExitCode.NOT_FOUND
    )


@asynccontextmanager
async def open_anvil(options: AnvilOptions) -> AsyncIterator[Anvil]:
    """A chain node on loopback. Raises Permanent when it ends before we are done with it."""
    with _run(options) as process:
        assert process.stdout is not None
        async with trio.lowlevel.FdStream(os.dup(process.stdout.fileno())) as output, trio.open_nursery() as nursery:
            host, port = await nursery.start(partial(_drain, output))
            yield Anvil(f"http://{host}:{port}", process.pid)
            nursery.cancel_scope.cancel()


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Ours alone until the block ends or we die. UserError when another process has the folder."""
    try:
        with hold_private_lock(folder / "anvil.lock", wait_s=0):
            yield
    except LockBusy:
        where, hint = str(folder), "stop it first or give another folder"
        raise UserError("a devnet runs here already", where=where, hint=hint, code=ExitCode.CONFLICT) from None


def end_left_over(folder: Path) -> None:
    """Ends an anvil of this folder whose owner was killed. Looks at what runs under that pid before it touches it."""
    try:
        process = psutil.Process(int(_pid_file(folder).read_text()))
        if process.name().startswith("anvil") and str(folder) in process.cmdline():
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=START_DEADLINE_S)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return


@contextmanager
def _run(options: AnvilOptions) -> Iterator[subprocess.Popen[bytes]]:
    end_left_over(options.folder)
    process = _start([str(options.binary or find_anvil()), *_make_arguments(options)])
    _pid_file(options.folder).write_text(str(process.pid))
    with process:
        try:
            yield process
        finally:
            process.kill()
            _pid_file(options.folder).unlink(missing_ok=True)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # The kernel ends anvil when the thread that started it ends: so not from one of trio's worker threads.
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
    # A session of its own: Ctrl-C must reach us first, so that the state is saved before it ends.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _make_arguments(options: AnvilOptions) -> list[str]:
    arguments = ["--host", "127.0.0.1", "--port", str(options.port), "--chain-id", str(options.chain_id)]
    # Names the folder, so that a left-over can be distinguished from any other anvil, and keeps its scratch files there.
    arguments += ["--cache-path", str(options.folder)]
    # Else it writes the whole state of every block to disk: 224 KB each, 19 GB a day.
    arguments += ["--prune-history", str(KEPT_STATES)]
    if options.block_time_s is not None:
        arguments += ["--block-time", f"{options.block_time_s:g}"]
    if options.state is not None:
        arguments += ["--load-state", str(options.state)]
    return arguments


async def _drain(
    output: trio.abc.ReceiveStream, task_status: TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.move_on_after(START_DEADLINE_S) as scope:
        task_status.started(await _read_address(output))
    if scope.cancelled_caught:
        raise Permanent(
            f"anvil did not start within {START_DEADLINE_S:g} s", hint="try again or look for what keeps it busy"
        )
    while await output.receive_some(MAX_LINE_BYTES):
        pass
    raise Permanent("anvil ended unexpectedly", hint="start the devnet again: it goes on from its last saved state")


async def _read_address(output: trio.abc.ReceiveStream) -> tuple[str, int]:
    seen = bytearray()
    while True:
        piece = await output.receive_some(MAX_LINE_BYTES)
        seen += piece
        found = _LISTENING.search(seen)
        if found:
            return found[1].decode(), int(found[2])
        if not piece:
            last = " ".join(seen.decode(errors="replace").strip().splitlines()[-1:])
            hint = "stop what has the port, or give another: --port 0 takes a free one" if _IN_USE in last else ""
            raise Permanent(f"anvil did not start: {last or 'it said nothing'}", hint=hint)
        del seen[:-MAX_LINE_BYTES]


def _pid_file(folder: Path) -> Path:
    return folder / "anvil.pid"
