"""The control socket, both sides for real: the trio server in one thread, the plain client in another."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from metering.units import Amount
from xnode.control import server
from xnode.control.client import MAX_LINE_BYTES, Control
from xnode.control.server import Method, hold_pid_file, serve_control, to_json
from xnode.errors import ExitCode, Permanent, Retryable, UserError


async def _echo(params: dict[str, Any]) -> Any:
    return params


async def _count(params: dict[str, Any]) -> AsyncIterator[int]:
    for number in range(params["to"]):
        yield number


async def _raise(params: dict[str, Any]) -> Any:
    kinds: dict[str, Callable[[], Exception]] = {
        "user": lambda: UserError("no such job", where="0xab", code=ExitCode.NOT_FOUND),
        "permanent": lambda: Permanent("chain: wrong id; fix the manifest"),
        "retryable": lambda: Retryable("chain: connection refused"),
        "bug": lambda: KeyError("secret"),
        "group": lambda: ExceptionGroup("nursery", [ExceptionGroup("inner", [UserError("deep")])]),
    }
    raise kinds[params["kind"]]()


METHODS: dict[str, Method] = {"echo": _echo, "count": _count, "raise": _raise}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def _ask(path: Path, method: str, **params: Any) -> Any:
    return await trio.to_thread.run_sync(lambda: Control(path).call(method, params, 5.0))


@asynccontextmanager
async def _open(path: Path) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_unix_socket(str(path)) as stream:
        yield stream


async def _read_reply(stream: trio.SocketStream) -> dict[str, Any]:
    data = b""
    with trio.fail_after(5):
        while not data.endswith(b"\n"):
            piece = await stream.receive_some()
            assert piece, "the daemon closed the connection"
            data += piece
    reply: dict[str, Any] = json.loads(data)
    return reply


async def test_a_call_brings_back_the_methods_result(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    assert await _ask(path, "echo", a=[1, "ü"]) == {"a": [1, "ü"]}


async def test_a_stream_brings_every_item_in_order_and_ends(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    items = await trio.to_thread.run_sync(lambda: list(Control(path).stream("count", {"to": 1000})))
    assert items == list(range(1000))
    assert await _ask(path, "count", to=3) == [0, 1, 2]


async def test_the_socket_is_for_its_owner_only(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")
async def test_another_user_is_turned_away_even_when_the_file_lets_him_in(nursery: trio.Nursery) -> None:
    # A folder of its own: pytest's are closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # noqa: ASYNC240
        path = Path(folder) / "control.sock"
        await nursery.start(serve_control, path, METHODS)
        path.chmod(0o666)
        # A large request is surely still on its way when the daemon closes.
        code = (
            "import os,sys; from pathlib import Path; from xnode.control.client import Control; os.setuid(65534)\n"
            "try: Control(Path(sys.argv[1])).call('echo', {'a': 'x' * 1_000_000})\n"
            "except Exception as error: print(int(error.code), error)"
        )
        done = await trio.run_process([sys.executable, "-c", code, str(path)], capture_stdout=True)
        assert done.stdout.decode() == f"{int(ExitCode.REFUSED)} another user's daemon\n"


@pytest.mark.parametrize(
    ("kind", "code", "exit_code", "message"),
    [
        ("user", "not_found", ExitCode.NOT_FOUND, "0xab: no such job"),
        ("permanent", "failed", ExitCode.FAILED, "chain: wrong id; fix the manifest"),
        ("retryable", "unreachable", ExitCode.UNREACHABLE, "chain: connection refused"),
        ("group", "usage", ExitCode.USAGE, "deep"),
    ],
)
async def test_an_error_keeps_its_exit_code_and_its_words(
    path: Path, nursery: trio.Nursery, kind: str, code: str, exit_code: ExitCode, message: str
) -> None:
    await nursery.start(serve_control, path, METHODS)
    with pytest.raises(UserError) as caught:
        await _ask(path, "raise", kind=kind)
    assert (caught.value.code, str(caught.value)) == (exit_code, message)
    async with _open(path) as stream:
        await stream.send_all(json.dumps({"id": 7, "method": "raise", "params": {"kind": kind}}).encode() + b"\n")
        assert (await _read_reply(stream))["error"]["code"] == code


async def test_a_bug_in_a_method_stays_inside_it_and_tells_nothing_secret(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    with pytest.raises(UserError) as caught:
        await _ask(path, "raise", kind="bug")
    assert "secret" not in str(caught.value) and caught.value.code == ExitCode.FAILED
    assert await _ask(path, "echo") == {}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"id":{},"method":"echo"}\n',
        b'{"id":1,"method":"echo","params":[]}\n',
        b'{"id":1,"method":"ecko"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
async def test_a_bad_request_is_answered_and_the_connection_goes_on(
    path: Path, nursery: trio.Nursery, line: bytes
) -> None:
    await nursery.start(serve_control, path, METHODS)
    async with _open(path) as stream:
        await stream.send_all(line)
        assert (await _read_reply(stream))["error"]["exit_code"] == ExitCode.USAGE
        await stream.send_all(b'{"id":"x","method":"echo","params":{"n":1}}\n')
        assert await _read_reply(stream) == {"id": "x", "result": {"n": 1}}


async def test_an_unknown_method_names_the_nearest(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    with pytest.raises(UserError, match="did you mean count"):
        await _ask(path, "cuont")


async def test_a_line_without_end_is_refused_at_the_limit(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    async with _open(path) as stream:
        await stream.send_all(b"x" * (MAX_LINE_BYTES + 1))
        assert "longer than" in (await _read_reply(stream))["error"]["message"]
    assert await _ask(path, "echo") == {}


async def test_an_answer_too_long_for_a_line_is_an_error_and_no_silence(path: Path, nursery: trio.Nursery) -> None:
    async def huge(_params: dict[str, Any]) -> Any:
        return "x" * MAX_LINE_BYTES

    await nursery.start(serve_control, path, {"huge": huge})
    with pytest.raises(UserError, match="at most"):
        await _ask(path, "huge")


async def test_a_client_that_goes_away_cancels_what_it_waited_for(path: Path, nursery: trio.Nursery) -> None:
    begun, cancelled = trio.Event(), trio.Event()

    async def forever(_params: dict[str, Any]) -> AsyncIterator[int]:
        try:
            begun.set()
            yield 1
            await trio.sleep_forever()
        finally:
            cancelled.set()

    await nursery.start(serve_control, path, {"forever": forever})
    with trio.fail_after(5):
        async with _open(path) as stream:
            await stream.send_all(b'{"id":1,"method":"forever"}\n')
            await begun.wait()
        await cancelled.wait()


async def test_connections_beyond_the_limit_hear_busy_and_slots_come_back(
    path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    await nursery.start(serve_control, path, METHODS)
    async with _open(path) as first, _open(path) as second:
        for stream in (first, second):
            await stream.send_all(b'{"id":1,"method":"echo"}\n')
            await _read_reply(stream)
        async with _open(path) as third:
            assert (await _read_reply(third))["error"]["code"] == "busy"
        await first.aclose()
        with trio.fail_after(5):
            while True:
                try:
                    assert await _ask(path, "echo") == {}
                    break
                except UserError as error:
                    assert error.code == ExitCode.CONFLICT


async def test_a_client_that_does_not_read_is_dropped(
    path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_DEADLINE_S", 0.2)
    ended = trio.Event()

    async def flood(_params: dict[str, Any]) -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 100_000
        finally:
            ended.set()

    await nursery.start(serve_control, path, {"flood": flood})
    async with _open(path) as stream:
        await stream.send_all(b'{"id":1,"method":"flood"}\n')
        with trio.fail_after(5):
            await ended.wait()


async def test_a_dead_daemons_socket_is_replaced(path: Path, nursery: trio.Nursery) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    await nursery.start(serve_control, path, METHODS)
    assert await _ask(path, "echo") == {}


async def test_a_live_daemons_socket_is_left_alone_and_its_pid_named(path: Path, nursery: trio.Nursery) -> None:
    await nursery.start(serve_control, path, METHODS)
    with pytest.raises(UserError, match=f"already running .pid {os.getpid()}.") as caught:
        await serve_control(path, METHODS)
    assert caught.value.code == ExitCode.CONFLICT
    assert await _ask(path, "echo") == {}


async def test_the_socket_goes_with_its_daemon(path: Path, nursery: trio.Nursery) -> None:
    async with trio.open_nursery() as inner:
        await inner.start(serve_control, path, METHODS)
        inner.cancel_scope.cancel()
    assert not path.exists()  # noqa: ASYNC240


async def test_a_path_too_long_for_a_unix_socket_is_named(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 110) / "control.sock"
    with pytest.raises(UserError, match="XNODE_HOME"):
        await serve_control(deep, METHODS)
    with pytest.raises(UserError, match="XNODE_HOME"):
        Control(deep).call("echo")


def test_without_a_daemon_the_client_says_how_to_start_one(path: Path) -> None:
    with pytest.raises(UserError, match="daemon run") as caught:
        Control(path).call("echo")
    assert caught.value.code == ExitCode.NO_DAEMON


def test_a_daemon_that_never_answers_is_a_timeout(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen(1)
        with pytest.raises(UserError, match="did not answer echo") as caught:
            Control(path).call("echo", deadline_s=0.1)
    assert caught.value.code == ExitCode.TIMEOUT


def test_only_one_process_holds_a_home_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    file = tmp_path / "daemon.pid"
    code = (
        "import sys; from pathlib import Path; from xnode.control.server import hold_pid_file\n"
        "with hold_pid_file(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout and other.stdin
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"pid {other.pid}"), hold_pid_file(file):
            pytest.fail("two daemons in one home")
    finally:
        other.kill()
        other.wait(5)
        other.stdout.close()
        other.stdin.close()
    file.chmod(0o644)
    with hold_pid_file(file):
        assert file.read_text() == f"{os.getpid()}\n"
        assert file.stat().st_mode & 0o777 == 0o600, "nobody else can hold its lock"


@dataclass(frozen=True, slots=True)
class _Record:
    """Amounts and bytes, as values of the core have them."""

    amount: Amount
    digest: bytes


class _View(msgspec.Struct):
    rows: tuple[_Record, ...]
    file: Path


def test_bytes_become_hex_and_amounts_strings() -> None:
    view = _View((_Record(Amount(2**100), b"\x01\xff"),), Path("/x"))
    assert to_json({"v": view, "n": 3, "none": None}) == {
        "v": {"rows": [{"amount": str(2**100), "digest": "0x01ff"}], "file": "/x"},
        "n": 3,
        "none": None,
    }
