"""What the command line's tests share: a home, the program as a user runs it, and a daemon that plays its part."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest
import trio

from tests.xnode.cli.fake_daemon import open_methods
from xnode.cli.main import run
from xnode.control.server import Method, serve_control
from xnode.home import Home

ROOT = Path(__file__).parents[3]

DEADLINE_S = 60

Source = AbstractAsyncContextManager[Mapping[str, Method]]
"""Gives the methods to serve, and takes down what they need."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def error_lines(stderr: str) -> list[str]:
    """The `error:` lines, each with the hints below it, as a person reads them; anything else fails the test."""
    found: list[str] = []
    for line in stderr.splitlines():
        if line.startswith("hint: "):
            found[-1] += f" | {line}"
        else:
            found.append(line)
    return found


@pytest.fixture
def home() -> Iterator[Home]:
    # Directly in /tmp: a unix socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="xnode-"))
    yield Home(folder)
    shutil.rmtree(folder)


@pytest.fixture
def environment(home: Home) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XNODE_", "ETH_"))}
    return {**kept, "XNODE_HOME": str(home.folder), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


@pytest.fixture
def xnode(environment: dict[str, str], home: Home) -> Run:
    """Run `xnode ARGUMENTS` in the home's folder; what it printed and its exit code."""

    def start(
        *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "xnode.cli.main", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            cwd=home.folder,
            env={**environment, **(env or {})},
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    return start


@pytest.fixture
def xnode_here(
    environment: dict[str, str], home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The same within this process, for tests of many commands that would each import the chain's libraries anew."""
    monkeypatch.chdir(home.folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for name in [name for name in os.environ if name not in environment]:
        monkeypatch.delenv(name)

    def here(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in {**environment, **(env or {})}.items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = run(arguments)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return subprocess.CompletedProcess(arguments, code, shown.out, shown.err)

    return here


@pytest.fixture
def serve_from(home: Home) -> Iterator[Callable[[Source], None]]:
    """Serve the control methods of an async context on the home's socket, in a thread, until the test ends."""
    started: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope, threading.Thread]] = []

    def start(source: Source) -> None:
        ready = threading.Event()

        async def main() -> None:
            with trio.CancelScope() as scope:
                async with source as methods, trio.open_nursery() as nursery:
                    await nursery.start(serve_control, home.control, methods)
                    started.append((trio.lowlevel.current_trio_token(), scope, thread))
                    ready.set()

        thread = threading.Thread(target=trio.run, args=(main,))
        thread.start()
        assert ready.wait(20), "the control socket did not come up"

    yield start
    for token, scope, thread in started:
        token.run_sync_soon(scope.cancel)
        thread.join(10)


@pytest.fixture
def serve(serve_from: Callable[[Source], None]) -> Callable[[Mapping[str, Method]], None]:
    """Serve these control methods on the home's socket until the test ends."""
    return lambda methods: serve_from(nullcontext(methods))


@pytest.fixture
def daemon(serve_from: Callable[[Source], None], tmp_path: Path) -> None:
    """A daemon that knows a few jobs and offers."""
    serve_from(open_methods(tmp_path / "daemon"))


@pytest.fixture
def password(home: Home) -> str:
    (home.folder / "pw").write_text("correct horse\n")
    return str(home.folder / "pw")


@pytest.fixture
def manifest(environment: dict[str, str], home: Home) -> Iterator[str]:
    """A devnet of this home, up and running; its manifest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xnode.cli.main", "devnet", "up", "--bare", "--port", "0", "--block-time", "0.1"],
        env=environment,
        cwd=home.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    else:
        pytest.fail(f"no devnet: {lines}")
    # Nobody reads on: what it says later must not block it.
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    yield str(home.folder / "devnet" / "manifest.toml")
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0
    drain.join(DEADLINE_S)
    process.stderr.close()
