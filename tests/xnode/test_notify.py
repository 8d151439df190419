"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnode.notify import MAX_STATUS_CHARS, Notifier, take_notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def hear(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_each_thing_is_said_in_the_managers_words(manager: socket.socket) -> None:
    notifier = take_notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready("idle")
    notifier.show("serving 1 lease")
    notifier.alive()
    notifier.stopping("bye")
    assert [hear(manager) for _ in range(4)] == [
        ["READY=1", "STATUS=idle"],
        ["STATUS=serving 1 lease"],
        ["WATCHDOG=1"],
        ["STOPPING=1", "STATUS=bye"],
    ]


def test_a_name_without_a_file_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0xnode-test-{os.getpid()}")
        listener.setblocking(False)
        Notifier(f"@xnode-test-{os.getpid()}").alive()
        assert hear(listener) == ["WATCHDOG=1"]


def test_a_status_is_one_line_whatever_stands_in_it(manager: socket.socket) -> None:
    Notifier(manager.getsockname()).show("chain: \x1b[31mred\nREADY=1\r" + "x" * 500)
    (line,) = hear(manager)
    assert line.startswith("STATUS=chain:  [31mred READY=1 ") and line.isprintable()
    assert len(line) == len("STATUS=") + MAX_STATUS_CHARS


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:2:1234"])
def test_without_a_manager_nothing_is_said_and_nothing_fails(address: str) -> None:
    Notifier(address).ready("idle")


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    for _ in range(5000):
        notifier.alive()
    assert hear(manager) == ["WATCHDOG=1"]


def test_no_child_finds_the_managers_socket(manager: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"
    }  # fmt: skip
    assert take_notifier(environment).watchdog_s == 30.0
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(("pid", "us"), [("1", "30000000"), ("", ""), ("", "soon"), ("", "²")])
def test_a_watchdog_that_is_not_ours_or_not_a_time_is_none(pid: str, us: str) -> None:
    assert take_notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": us, "WATCHDOG_PID": pid}).watchdog_s == 0.0
