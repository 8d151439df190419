"""Control client: asks the local daemon over its unix socket. Standard library only: it must start in milliseconds."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xnode.errors import ExitCode, UserError

MAX_LINE_BYTES = 4 << 20
"""One request or reply. A job file with its inputs' names fits many times over; long answers are streams."""

MAX_SOCKET_PATH_BYTES = 107
"""sun_path of Linux holds 108 bytes with the final zero."""

DEADLINE_S = 30.0
"""How long a call may take before we call the daemon stuck."""

_RECEIVE_BYTES = 1 << 16


def check_socket_path(path: Path) -> None:
    """Raise UserError when no unix socket can have this path."""
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise UserError(
            f"the socket's path has {length} bytes, and a unix socket's path at most {MAX_SOCKET_PATH_BYTES}",
            where=str(path),
            hint="choose a shorter home with XNODE_HOME",
        )


class Control:
    """The daemon behind a control socket. Every call has a connection of its own, so none can block another."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, method: str, params: Mapping[str, Any] | None = None, deadline_s: float | None = DEADLINE_S) -> Any:
        """The method's result; a stream's items as a list. Raises UserError with the daemon's own exit code.

        deadline_s: for each wait; None where the answer may rightly take forever.
        """
        with self._connect(DEADLINE_S) as connection:
            connection.settimeout(deadline_s)
            replies = _exchange(connection, method, params or {})
            items = []
            for reply in replies:
                if "result" in reply:
                    return reply["result"]
                items.append(reply["item"])
            return items

    def stream(
        self, method: str, params: Mapping[str, Any] | None = None, quiet_s: float | None = None
    ) -> Iterator[Any]:
        """The method's items as they come; `quiet_s` bounds the wait for the next one (None: as long as it takes)."""
        with self._connect(DEADLINE_S) as connection:
            connection.settimeout(quiet_s)
            for reply in _exchange(connection, method, params or {}):
                yield reply["result"] if "result" in reply else reply["item"]

    def is_up(self) -> bool:
        """True when a daemon accepts connections."""
        try:
            self._connect(1.0).close()
        except UserError:
            return False
        return True

    def _connect(self, deadline_s: float) -> socket.socket:
        check_socket_path(self.path)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(deadline_s)
        try:
            connection.connect(str(self.path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            raise UserError(
                "no daemon is running here",
                where=str(self.path),
                hint="start one with `xnode daemon run` or `xnode provider run`",
                code=ExitCode.NO_DAEMON,
            ) from error
        except NotADirectoryError as error:
            connection.close()
            raise UserError(
                "is not a folder", where=str(self.path.parent), hint="name a node's folder with --home or XNODE_HOME"
            ) from error
        except OSError as error:
            connection.close()
            # A full backlog answers EAGAIN at once (or a timeout): a process listens but does not accept.
            raise UserError(
                f"the daemon does not answer ({error.strerror or error})",
                where=str(self.path),
                hint="see `daemon.log` beside the socket, or restart the daemon",
                code=ExitCode.NO_DAEMON if isinstance(error, PermissionError) else ExitCode.TIMEOUT,
            ) from error
        _require_ours(connection, self.path)
        return connection


def _require_ours(connection: socket.socket, path: Path) -> None:
    """Raise UserError when the process behind the socket is neither ours, nor root's, nor of the home's owner."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if uid not in (os.geteuid(), 0, path.parent.stat().st_uid):
        connection.close()
        raise UserError(
            f"what listens there belongs to another user (number {uid})",
            where=str(path),
            hint="choose a home of your own with XNODE_HOME",
            code=ExitCode.REFUSED,
        )


def _exchange(connection: socket.socket, method: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The replies to one request: one {"result"}, or {"item"}s until the end. Raises what the daemon answers."""
    request = json.dumps({"id": 1, "method": method, "params": params}, separators=(",", ":")).encode() + b"\n"
    if len(request) > MAX_LINE_BYTES:
        raise UserError(f"{method} has {len(request)} bytes of parameters, at most {MAX_LINE_BYTES} fit in a request")
    try:
        # A daemon that turns us away says why and closes, maybe before our request is out.
        with suppress(BrokenPipeError):
            connection.sendall(request)
        for line in _read_lines(connection):
            reply = _read_reply(line)
            if "error" in reply:
                raise _make_error(reply["error"])
            if "end" in reply:
                return
            _check_form(method, reply["result"] if "result" in reply else reply["item"])
            yield reply
            if "result" in reply:
                return
    except TimeoutError as error:
        raise UserError(
            f"the daemon did not answer {method} within {connection.gettimeout():g} s",
            hint="it may be busy: try again, or see `xnode doctor`",
            code=ExitCode.TIMEOUT,
        ) from error
    except (ConnectionError, ValueError) as error:
        raise UserError(f"the daemon broke off during {method} ({error})", code=ExitCode.NO_DAEMON) from error
    raise UserError(
        f"the daemon went away during {method}",
        hint="see `xnode daemon status` and daemon.log",
        code=ExitCode.NO_DAEMON,
    )


def _read_reply(line: bytes) -> dict[str, Any]:
    """Raises ValueError for what is not one."""
    try:
        reply = json.loads(line)
    except RecursionError as error:
        raise ValueError("a reply is nested too deeply") from error
    if not isinstance(reply, dict) or not reply.keys() & {"error", "end", "result", "item"}:
        raise ValueError("what came is not a reply")
    return reply


def _check_form(method: str, answer: Any) -> None:
    # Only now: a command that is refused, or finds no daemon, needs nothing of it.
    from xnode.control.answers import find_misfit

    misfit = find_misfit(method, answer)
    if misfit:
        raise UserError(
            f"the daemon answered {method} in another form than this xnode knows ({misfit[:200]})",
            hint="it may be another version: stop it, and start it with this one",
            code=ExitCode.FAILED,
        )


def _read_lines(connection: socket.socket) -> Iterator[bytes]:
    buffer = bytearray()
    while piece := connection.recv(_RECEIVE_BYTES):
        buffer += piece
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            yield line
        if len(buffer) > MAX_LINE_BYTES:
            raise ValueError(f"a reply is longer than {MAX_LINE_BYTES} bytes")


def _make_error(error: Any) -> UserError:
    known = [int(code) for code in ExitCode]
    error = error if isinstance(error, dict) else {}
    code = error.get("exit_code", ExitCode.FAILED)
    message, hint = str(error.get("message", "the daemon gave no reason")), str(error.get("hint", ""))
    return UserError(message, hint=hint, code=ExitCode(code if code in known else ExitCode.FAILED))
