"""Notify: tells the service manager that started this process how it is, in the words of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

MAX_STATUS_CHARS = 200
"""One line of `systemctl status`; a peer or a chain node may have chosen some of its words."""

_US = 1_000_000


class Notifier:
    """The manager's datagram socket. Says nothing, and fails at nothing, where no manager listens.

    watchdog_s: the manager takes this process for hung after so long without alive(), and ends it; 0: it never does.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.watchdog_s = watchdog_s
        # "@" stands for the byte 0 of an abstract name. Other kinds (vsock) are a virtual machine's, not a service's.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.is_heard = address.startswith(("/", "@"))

    def ready(self, status: str) -> None:
        """The start is over, and commands are answered."""
        self._send("READY=1", _status(status))

    def show(self, status: str) -> None:
        """What `systemctl status` shows from now on: one line."""
        self._send(_status(status))

    def alive(self) -> None:
        """The event loop turns."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """The stop has begun, and is ours: not an end that somebody should look into."""
        self._send("STOPPING=1", _status(status))

    def _send(self, *lines: str) -> None:
        if not self.is_heard:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                # A manager that restarts, or has no room: what is true now is said again soon.
                return


def take_notifier(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """The manager that the environment names. Its variables go: a child that found them would speak for us, and podman
    would hand the socket to a workload."""
    address = environment.pop("NOTIFY_SOCKET", "")
    every_us, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    is_ours = pid in ("", str(os.getpid()))
    return Notifier(address, int(every_us) / _US if is_ours and every_us.isascii() and every_us.isdigit() else 0.0)


def _status(text: str) -> str:
    line = "".join(one if one.isprintable() else " " for one in text)
    return "STATUS=" + (line if len(line) <= MAX_STATUS_CHARS else line[: MAX_STATUS_CHARS - 1] + "…")
