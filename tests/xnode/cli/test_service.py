"""`xnode install systemd` and its undoing, on a root in a folder; and the daemon under a service manager, as it starts it."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.conftest import DEADLINE_S, Run, error_lines
from xnode.chain.deployment.manifest import write_manifest
from xnode.errors import ExitCode
from xnode.home import Home
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

UNIT = "etc/systemd/system/xnode.service"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def buyer(xnode_here: Run, home: Home) -> Home:
    """A home that is set up to buy, on a chain that is away."""
    write_manifest(home.folder / "manifest.toml", replace(MANIFEST, rpc_url="http://127.0.0.1:9", bootstrap=()))
    trio.run(Keystore(home.keystore).make_new, "owner", "correct horse", MACHINE_ROUNDS)
    done = xnode_here("daemon", "init", "--chain", "manifest.toml")
    assert done.returncode == 0, done.stderr
    return home


def test_the_unit_is_that_of_this_home_and_role(xnode_here: Run, buyer: Home, root: Path) -> None:
    done = xnode_here("install", "systemd", "--root", str(root))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-2:] == [f"wrote {root / UNIT}", "enabled; it starts with the system"]
    unit = (root / UNIT).read_text()
    program = Path(sys.executable).with_name("xnode")
    assert f"ExecStart={program} daemon run\n" in unit and f"XNODE_HOME={buyer.folder}\n" in unit
    assert f"LoadCredential=node.password:{buyer.password}\n" in unit
    again = xnode_here("install", "systemd", "--root", str(root))
    assert again.stderr.splitlines()[-2] == f"unchanged: {root / UNIT}"


def test_a_dry_run_prints_the_unit_and_writes_nothing(xnode_here: Run, home: Home, root: Path) -> None:
    done = xnode_here("install", "systemd", "--role", "provider", "--root", str(root), "--dry-run")
    assert done.returncode == 0 and "ExecStart=" in done.stdout and " provider run\n" in done.stdout
    assert list(root.iterdir()) == [] and done.stderr == ""


def test_settings_that_are_not_in_the_home_are_the_services_too(xnode_here: Run, buyer: Home, root: Path) -> None:
    declared = root / "declared.toml"
    buyer.config.rename(declared)
    for options, env in ((("--config", str(declared)), {}), ((), {"XNODE_CONFIG": str(declared)})):
        unit = xnode_here(*options, "install", "systemd", "--root", str(root), "--dry-run", env=env).stdout
        assert f"\nEnvironment=XNODE_CONFIG={declared}\n" in unit and " daemon run\n" in unit
        assert " config reload\n" in unit


def test_a_submitters_service_runs_as_the_owner_of_its_home(xnode_here: Run, buyer: Home, root: Path) -> None:
    user = next(one.pw_name for one in pwd.getpwall() if one.pw_uid not in (0, os.getuid()))
    os.chown(buyer.folder, pwd.getpwnam(user).pw_uid, -1)
    assert f"\nUser={user}\n" in xnode_here("install", "systemd", "--root", str(root), "--dry-run").stdout
    os.chown(buyer.folder, os.getuid(), -1)


def test_a_home_that_is_not_set_up_needs_its_role_named(xnode_here: Run, home: Home, root: Path) -> None:
    done = xnode_here("install", "systemd", "--root", str(root))
    assert done.returncode == ExitCode.USAGE and list(root.iterdir()) == []
    (line,) = error_lines(done.stderr)
    assert str(home.folder) in line and "--role" in line


def test_a_provider_is_no_service_of_a_user(xnode_here: Run, home: Home) -> None:
    done = xnode_here("install", "systemd", "--role", "provider", "--user", "--dry-run")
    assert done.returncode == ExitCode.USAGE and "needs root" in done.stderr


def test_nothing_is_started_where_no_manager_runs(xnode_here: Run, buyer: Home, root: Path) -> None:
    done = xnode_here("install", "systemd", "--root", str(root), "--now")
    assert done.returncode == ExitCode.USAGE and "systemd does not run here" in done.stderr
    assert list(root.iterdir()) == []


def test_uninstall_takes_back_what_install_wrote_and_leaves_the_home(xnode_here: Run, buyer: Home, root: Path) -> None:
    xnode_here("install", "systemd", "--root", str(root))
    done = xnode_here("uninstall", "systemd", "--root", str(root))
    assert done.returncode == 0 and str(buyer.folder) in done.stderr
    assert [one for one in root.rglob("*") if not one.is_dir()] == [] and buyer.node_key.exists()
    again = xnode_here("uninstall", "systemd", "--root", str(root))
    assert again.returncode == 0 and "there is no unit" in again.stderr


def test_a_changed_unit_stops_both_commands(xnode_here: Run, buyer: Home, root: Path) -> None:
    xnode_here("install", "systemd", "--root", str(root))
    (root / UNIT).write_text("[Service]\nExecStart=/bin/true\n")
    for command in ("install", "uninstall"):
        done = xnode_here(command, "systemd", "--root", str(root))
        assert done.returncode == ExitCode.CONFLICT
        (line,) = error_lines(done.stderr)
        assert "somebody changed this unit" in line and "--force" in line
    assert (root / UNIT).read_text() == "[Service]\nExecStart=/bin/true\n"


# ----------------------------------------------------------------------------------------------------------- the daemon


@pytest.fixture
def manager(home: Home) -> Iterator[socket.socket]:
    """What systemd is to the services that it starts: a datagram socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(home.folder / "notify"))
        listener.settimeout(DEADLINE_S)
        yield listener


def hear_until(manager: socket.socket, word: str) -> list[str]:
    """Every line up to the first message with `word`."""
    heard: list[str] = []
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        message = manager.recv(4096).decode().splitlines()
        heard += message
        if any(line.startswith(word) for line in message):
            return heard
    raise AssertionError(f"{word} never came: {heard}")


def test_a_daemon_tells_its_manager_when_it_is_ready_that_it_is_alive_and_that_it_stops(
    buyer: Home, environment: dict[str, str], manager: socket.socket
) -> None:
    under = {**environment, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000000"}
    with (buyer.folder / "out").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "xnode.cli.main", "daemon", "run"],
            env=under,
            cwd=buyer.folder,
            stdout=log,
            stderr=log,
        )
    try:
        start = hear_until(manager, "READY=1")
        assert start[0] == "STATUS=starting" and start[-1].startswith("STATUS=idle; not well: chain: ")
        # What READY promises: commands are answered.
        assert buyer.control.is_socket()
        for _ in range(3):
            hear_until(manager, "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        assert hear_until(manager, "STOPPING=1")[-1] == "STATUS=stopping; workloads go on"
        assert process.wait(DEADLINE_S) == 0, (buyer.folder / "out").read_text()
    finally:
        process.kill()
        process.wait(DEADLINE_S)
