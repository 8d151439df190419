"""Control: the daemon's side of its unix socket: JSON lines, for the node's own user only."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from metering.units import U128
from xnode.control.client import MAX_LINE_BYTES, check_socket_path
from xnode.errors import ExitCode, Permanent, Retryable, UserError, describe_os_error, real_error_of

if TYPE_CHECKING:
    from trio_typing import TaskStatus

Method = Callable[[dict[str, Any]], "Awaitable[Any] | AsyncIterator[Any]"]
"""Takes the request's params. An async function answers once; an async generator streams its items."""

MAX_CONNECTIONS = 64
"""A person's terminals and scripts; each holds a buffer of at most one line."""

MAX_PIPELINED = 8
"""Requests that may wait on one connection; a client that sends more is simply not read."""

SEND_DEADLINE_S = 60.0
"""A client that does not read for so long (a stopped `--follow`) is dropped."""

IDLE_DEADLINE_S = 600.0
"""A connection without a request for so long gives its slot back."""

RUNNING = "a daemon is already running"

STOP_HINT = "stop it with `xnode daemon stop`, or choose another home with XNODE_HOME"

_BACKLOG = 32
_RECEIVE_BYTES = 1 << 16

_log = structlog.get_logger()


async def serve_control(
    path: Path, methods: Mapping[str, Method], *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer on `path` until cancelled. Raises UserError when a live daemon has it; replaces a dead one's socket."""
    listener = _bind(path)
    slots = trio.Semaphore(MAX_CONNECTIONS)
    try:
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                connection = await _accept(listener)
                nursery.start_soon(_serve_slot, connection, methods, slots)
    finally:
        listener.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 (a local folder, at the very end)


@contextmanager
def hold_pid_file(path: Path, what: str = RUNNING, hint: str = STOP_HINT) -> Iterator[None]:
    """Keep every other daemon out of this home while inside. Raises UserError with the other one's pid.

    The lock dies with the process however it ends, so a stale file never blocks a start.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Whoever could open it could hold its lock, and keep this node from starting.
        os.fchmod(descriptor, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(descriptor, 20).decode(errors="replace").strip()
            raise _make_running(path, pid, what, hint) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        # Emptied, not removed: removing would let two daemons lock two files of one name.
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def to_json(value: Any) -> Any:
    """What a value looks like in JSON: bytes as 0x hex, amounts as decimal strings, records as objects."""
    match value:
        case U128():
            return str(int(value))
        case None | bool() | str() | float():
            return value
        case int():
            return int(value)
        case bytes() | bytearray():
            return "0x" + value.hex()
        case Path():
            return str(value)
        case msgspec.Struct():
            return {name: to_json(getattr(value, name)) for name in value.__struct_fields__}
        case Mapping():
            return {str(to_json(key)): to_json(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json(item) for item in value]
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _make_running(where: Path, pid: str, what: str = RUNNING, hint: str = STOP_HINT) -> UserError:
    return UserError(
        f"{what} (pid {pid or 'unknown'})",
        where=str(where),
        hint=hint,
        code=ExitCode.CONFLICT,
    )


def _bind(path: Path) -> trio.socket.SocketType:
    check_socket_path(path)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # No client can connect before listen(), so the mode is right from the first connection on.
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(f"cannot listen ({error.strerror})", where=str(path), code=ExitCode.FAILED) from error
    return trio.socket.from_stdlib_socket(listener)


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A daemon too busy to accept is alive: only a refusal proves that no process listens.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            raise _make_running(path, "") from None
        raise _make_running(path, str(_peer_of(probe)[0]))


async def _accept(listener: trio.socket.SocketType) -> trio.SocketStream:
    while True:
        try:
            connection, _ = await listener.accept()
            return trio.SocketStream(connection)
        except OSError as error:
            # Out of descriptors is a state that passes; a daemon with paid work in it must not end for it.
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ECONNABORTED):
                raise
            await trio.sleep(0.1)


async def _serve_slot(stream: trio.SocketStream, methods: Mapping[str, Method], slots: trio.Semaphore) -> None:
    async with stream:
        try:
            slots.acquire_nowait()
        except trio.WouldBlock:
            await _try_send(stream, _fault(None, "busy", "too many commands at once", ExitCode.CONFLICT, "try again"))
            return
        try:
            if _is_allowed(stream):
                await _Connection(stream, methods).serve()
            else:
                await _try_send(stream, _fault(None, "forbidden", "another user's daemon", ExitCode.REFUSED))
        finally:
            slots.release()


def _is_allowed(stream: trio.SocketStream) -> bool:
    _, uid = _peer_of(stream.socket)
    return uid in (os.geteuid(), 0)


def _peer_of(connection: Any) -> tuple[int, int]:
    """(pid, uid) of the process at the other end, as the kernel knows them."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


async def _try_send(stream: trio.SocketStream, line: bytes) -> None:
    try:
        with trio.move_on_after(1.0):
            await stream.send_all(line)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


class _Gone(Exception):
    """The client went away or does not read."""


class _Connection:
    """One client: its requests are answered in order, and when it goes away what it waits for is cancelled."""

    def __init__(self, stream: trio.SocketStream, methods: Mapping[str, Method]) -> None:
        self._stream = stream
        self._methods = methods

    async def serve(self) -> None:
        send, receive = trio.open_memory_channel[bytes | None](MAX_PIPELINED)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_lines, send, nursery.cancel_scope)
            with suppress(_Gone):
                await self._answer_lines(receive)
            nursery.cancel_scope.cancel()

    async def _read_lines(self, send: trio.MemorySendChannel[bytes | None], scope: trio.CancelScope) -> None:
        """Hand each line on; None for one that is too long. Cancels the connection at its end."""
        buffer = bytearray()
        try:
            while piece := await self._stream.receive_some(_RECEIVE_BYTES):
                buffer += piece
                while (end := buffer.find(b"\n")) >= 0:
                    line = bytes(buffer[:end])
                    del buffer[: end + 1]
                    await send.send(line)
                if len(buffer) > MAX_LINE_BYTES:
                    await send.send(None)
                    return
        except trio.BrokenResourceError:
            pass
        scope.cancel()

    async def _answer_lines(self, receive: trio.MemoryReceiveChannel[bytes | None]) -> None:
        while True:
            with trio.move_on_after(IDLE_DEADLINE_S) as idle:
                line = await receive.receive()
            if idle.cancelled_caught:
                return
            if line is None:
                message = f"a request is longer than {MAX_LINE_BYTES} bytes"
                await self._send(_fault(None, "bad_request", message, ExitCode.USAGE))
                return
            await self._answer(line)

    async def _answer(self, line: bytes) -> None:
        ident: Any = None
        try:
            request = _parse_request(line)
            ident = request.id
            answer = _find_method(self._methods, request.method)(request.params)
            if isinstance(answer, AsyncIterator):
                await self._send_items(ident, answer)
            else:
                await self._send(_line({"id": ident, "result": to_json(await answer)}))
        except _Gone:
            raise
        except Exception as error:
            # The supervisor's edge of one request: whatever a method raises, the daemon and its paid work go on.
            await self._send(_describe(ident, error))

    async def _send_items(self, ident: Any, items: AsyncIterator[Any]) -> None:
        async with aclosing(items):  # type: ignore[type-var]
            async for item in items:
                await self._send(_line({"id": ident, "item": to_json(item)}))
        await self._send(_line({"id": ident, "end": True}))

    async def _send(self, line: bytes) -> None:
        if len(line) > MAX_LINE_BYTES:
            raise Permanent(f"the answer has {len(line)} bytes, at most {MAX_LINE_BYTES} fit", hint="ask for less")
        try:
            with trio.fail_after(SEND_DEADLINE_S):
                await self._stream.send_all(line)
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _Gone from error


class _Request(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)


def _parse_request(line: bytes) -> _Request:
    try:
        return msgspec.json.decode(line, type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not a request: {error}", hint='send {"id", "method", "params"} on one line') from error


def _find_method(methods: Mapping[str, Method], name: str) -> Method:
    if name in methods:
        return methods[name]
    near = get_close_matches(name[:64], methods, n=1)
    raise UserError(
        f'no method "{name[:64]}"',
        hint=f"did you mean {near[0]}?" if near else "see docs/control.md for all of them",
    )


def _describe(ident: Any, error: Exception) -> bytes:
    match real_error_of(error):
        case UserError() as named:
            return _fault(ident, named.code.name.lower(), named.sentence, named.code, named.hint)
        case Permanent() as named:
            return _fault(ident, "failed", named.message, ExitCode.FAILED, named.hint)
        case Retryable() as named:
            return _fault(ident, "unreachable", named.message, ExitCode.UNREACHABLE, named.hint)
        case OSError(errno=errno.ENOSPC | errno.EIO | errno.EDQUOT | errno.EROFS) as full:
            return _fault(ident, "failed", describe_os_error(full), ExitCode.FAILED, "see to the disk, then try again")
    _log.error("control method failed", exc_info=error)
    return _fault(ident, "bug", f"the daemon failed ({type(error).__name__})", ExitCode.FAILED, "see daemon.log")


def _fault(ident: Any, code: str, message: str, exit_code: ExitCode, hint: str = "") -> bytes:
    error = {"code": code, "message": message, "hint": hint, "exit_code": int(exit_code)}
    return _line({"id": ident, "error": error})


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
