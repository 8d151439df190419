"""Units: what they promise, what they must never have, and how they are filled in for one home."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from xnode.errors import UserError
from xnode.install.unit import (
    SHIPPED,
    SYSTEM_ONLY,
    Role,
    Standing,
    UnitPlan,
    compare,
    is_as_written,
    make_unit,
    read_shipped,
)

PLAN = UnitPlan("provider", "/opt/x/bin/xnode", "/srv/node", "/srv/node/node.password")
BUYER = UnitPlan("submitter", "/opt/x/bin/xnode", "/srv/node", "/srv/node/node.password", user="ann")

MOUNT_NAMESPACE = {
    "BindPaths", "BindReadOnlyPaths", "DynamicUser", "ExecPaths", "ExtensionDirectories", "ExtensionImages",
    "IPCNamespacePath", "InaccessiblePaths", "LogNamespace", "MountAPIVFS", "MountFlags", "MountImages",
    "NoExecPaths", "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateNetwork", "PrivateTmp", "PrivateUsers",
    "ProcSubset", "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadOnlyPaths",
    "ReadWritePaths", "RootDirectory", "RootImage", "TemporaryFileSystem",
}  # fmt: skip
"""Of systemd.exec(5): each gives the service a mount namespace, in one version of systemd or another."""


def parse(unit: str) -> dict[str, list[str]]:
    """Every key with its values, in order; comments and sections left out."""
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("role", SHIPPED)
def test_no_unit_has_an_option_that_makes_a_mount_namespace(role: Role) -> None:
    assert parse(read_shipped(role)).keys() & MOUNT_NAMESPACE == set()


@pytest.mark.parametrize("role", SHIPPED)
def test_a_unit_says_when_it_is_ready_and_that_it_is_alive_and_leaves_workloads_alone(role: Role) -> None:
    unit = parse(read_shipped(role))
    assert (unit["Type"], unit["NotifyAccess"], unit["WatchdogSec"]) == (["notify"], ["main"], ["2min"])
    assert (unit["KillMode"], unit["TasksMax"], unit["Restart"]) == (["process"], ["infinity"], ["on-failure"])
    assert (unit["LimitCORE"], unit["UMask"], unit["NoNewPrivileges"]) == (["0"], ["0077"], ["yes"])


def test_a_providers_cgroups_and_the_ends_of_workloads_are_its_own_affair() -> None:
    unit = parse(read_shipped("provider"))
    assert (unit["Delegate"], unit["OOMPolicy"]) == (["yes"], ["continue"])


def test_what_a_providers_daemon_may_not_do_its_workloads_may_not_do_either() -> None:
    unit = parse(read_shipped("provider"))
    # Images with set-uid files are unpacked, containers get namespaces, programs of jobs may compile as they run.
    assert unit.keys() & {"RestrictSUIDSGID", "RestrictNamespaces", "MemoryDenyWriteExecute"} == set()
    (capabilities,) = unit["CapabilityBoundingSet"]
    assert capabilities.startswith("~") and not {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_BPF"} & set(
        capabilities[1:].split()
    )


def test_a_unit_is_filled_in_for_one_home() -> None:
    unit = parse(make_unit(PLAN))
    assert unit["ExecStart"] == ["/opt/x/bin/xnode provider run"]
    assert unit["ExecReload"] == ["/opt/x/bin/xnode config reload"]
    assert unit["LoadCredential"] == ["node.password:/srv/node/node.password"]
    assert unit["RequiresMountsFor"] == ["/srv/node"]
    assert unit["Environment"][:2] == ["XNODE_HOME=/srv/node", "XNODE_NODE__PASSWORD_FILE=%d/node.password"]
    assert "/var/lib/xnode" not in make_unit(PLAN) and "/usr/bin" not in make_unit(PLAN)


def test_a_submitters_unit_runs_as_its_user_without_any_capability() -> None:
    unit = parse(make_unit(BUYER))
    assert unit["User"] == ["ann"] and unit["CapabilityBoundingSet"] == [""]
    assert unit["ExecStart"] == ["/opt/x/bin/xnode daemon run"]
    assert "User" not in parse(make_unit(replace(BUYER, user="root")))


def test_the_unit_of_a_users_own_manager_has_nothing_of_the_systems() -> None:
    unit = parse(make_unit(replace(BUYER, is_users_own=True)))
    assert unit.keys() & SYSTEM_ONLY.keys() == set()
    assert unit["WantedBy"] == ["default.target"]
    assert unit["Environment"] == ["XNODE_HOME=/srv/node", "PYTHONFAULTHANDLER=1"]


def test_variables_join_the_environment() -> None:
    unit = make_unit(replace(PLAN, variables=(("XNODE_CONFIG", "/etc/xnode/config.toml"),)))
    assert "Environment=XNODE_HOME=/srv/node\nEnvironment=XNODE_CONFIG=/etc/xnode/config.toml\n" in unit


@pytest.mark.parametrize(
    "path", ["/srv/my node", "/srv/100%", "/srv/a\nExecStart=/bin/sh", "/srv/$HOME", "srv", '/srv/"x"']
)
def test_a_path_that_systemd_would_read_otherwise_is_refused(path: str) -> None:
    for plan in (replace(PLAN, home=path), replace(PLAN, program=path), replace(PLAN, password_file=path)):
        with pytest.raises(UserError, match="cannot be written into a unit") as caught:
            make_unit(plan)
        assert caught.value.where == path and caught.value.hint


def test_an_install_knows_its_own_text_from_that_of_a_person() -> None:
    text, other = make_unit(PLAN), make_unit(replace(PLAN, home="/srv/other"))
    assert compare(None, text) is Standing.ABSENT
    assert compare(text, text) is Standing.CURRENT
    assert compare(other, text) is Standing.OUTDATED
    for changed in (
        text.replace("RestartSec=5", "RestartSec=1"),
        text + "\n",
        text.partition("\n")[2],
        "",
        "[Service]\n",
    ):
        assert not is_as_written(changed) and compare(changed, text) is Standing.CHANGED


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize(
    "plan", [PLAN, BUYER, replace(BUYER, is_users_own=True)], ids=["provider", "submitter", "user"]
)
def test_systemd_understands_every_line(plan: UnitPlan, tmp_path: Path) -> None:
    program, unit = tmp_path / "xnode", tmp_path / "xnode.service"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit.write_text(make_unit(replace(plan, program=str(program), user="root" if plan.user else "")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "xnode.service" in line]
    assert ours == [] and done.returncode == 0, done.stderr
