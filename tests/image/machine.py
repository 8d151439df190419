"""Machine: a virtual machine that starts from a disk by UEFI, and what is asked of it over ssh."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FIRMWARE = Path("/usr/share/OVMF")

BOOT_S = 600.0
"""From power on until ssh answers: one and a half minutes on an idle host of two slow cores, without hardware help."""

LOOK_EVERY_S = 1.0

MEMORY_MIB = 3072


def wait_until(look: Callable[[], bool], what: str, deadline_s: float) -> None:
    """Returns when `look` is true; fails after the deadline."""
    end = time.monotonic() + deadline_s
    while not look():
        assert time.monotonic() < end, f"{what}: not so within {deadline_s:g} s"
        time.sleep(LOOK_EVERY_S)


def find_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Machine:
    """One virtual machine. forwarded: its ports that are reached from this host, by the port here."""

    def __init__(self, folder: Path, disk: Path, media: Path, key: Path, forwarded: dict[int, int]) -> None:
        self._folder, self._key = folder, key
        self._ssh_port = find_port()
        self.console = folder / "console.log"
        firmware = folder / "firmware-variables"
        shutil.copy(FIRMWARE / "OVMF_VARS.fd", firmware)
        ports = {self._ssh_port: 22, **forwarded}
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in ports.items())
        accel = os.environ.get("XNODE_IMAGE_ACCEL", "tcg,thread=multi,tb-size=512")
        self._command = [
            "qemu-system-x86_64", "-accel", accel, "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MIB),
            "-display", "none", "-nodefaults", "-serial", f"file:{self.console}",
            "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE / 'OVMF_CODE.fd'}",
            "-drive", f"if=pflash,format=raw,file={firmware}",
            "-drive", f"if=virtio,format=raw,cache=unsafe,file={disk}",
            "-drive", f"if=virtio,format=raw,cache=unsafe,file={media}",
            "-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[None]:
        """From power on, and ssh answers, to power off."""
        with (self._folder / "qemu.log").open("wb") as log:
            process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: self._is_up(process), f"the machine answers; see {self.console}", BOOT_S)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def run(self, command: str, deadline_s: float = 120.0, check: bool = True) -> str:
        """What a shell line prints there, as root; fails when it fails (and `check`)."""
        done = subprocess.run(
            [
                "ssh", "-q", "-i", str(self._key), "-p", str(self._ssh_port), "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-o", "BatchMode=yes", "root@127.0.0.1", command,
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline_s, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def read_boot(self) -> str:
        """This boot's name, "" while it does not answer."""
        try:
            return self.run("cat /proc/sys/kernel/random/boot_id", 30.0, check=False)
        except subprocess.TimeoutExpired:
            return ""

    def wait_next_boot(self, before: str, deadline_s: float = BOOT_S) -> str:
        """Returns the next boot's name when it answers."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [self.read_boot()]
            return found[0] not in ("", before)

        wait_until(look, "the machine comes up again", deadline_s)
        return found[0]

    def _is_up(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"QEMU ended: {(self._folder / 'qemu.log').read_text()}"
        return bool(self.read_boot())
