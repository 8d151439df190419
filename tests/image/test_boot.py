"""A provider on an immutable host, from power on: what the host cannot change, what outlives its daemon, and how a new version
comes and goes. One machine, in the order of the tests; `make test-image`, see docs/boot-test.md."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.localnet import Localnet
from images.host.build import build_root, install_node, make_disk, make_slot, require_programs
from tests.e2e.market import check_lines
from tests.image.machine import Machine, find_port, wait_until
from tests.image.provider import PEER_PORT, WAIT_S, Provider, copy_home, make_network
from tests.image.suite import SUITE, make_suite
from tests.image.versions import find_next, make_wheel, read_version

pytestmark = [pytest.mark.image, pytest.mark.timeout(0)]

FOLDER = Path(__file__).parents[2] / "build" / "image"

NOW = read_version()
NEXT, BROKEN = find_next(NOW, 1), find_next(NOW, 2)

STARTS, SPARE_S = 4, 240
"""The workload lasts for so many starts of the daemon, as long as the last one took, and some more."""

TRIES = 2
"""Of the version that does not come up."""

TRIAL_S = 1800.0
"""A boot, a daemon that is started four times in vain, and another boot."""

MEDIA = "/mnt"

TEST_PACKAGES = ("openssh-server",)

TEST_FILES = {
    "etc/ssh/sshd_config.d/test.conf": "PermitRootLogin prohibit-password\nUseDNS no\n",
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A machine that has come up for the first time, with this version in slot a."""
    require_programs()
    FOLDER.mkdir(parents=True, exist_ok=True)
    key, root, media = FOLDER / "key", FOLDER / "root", FOLDER / "media"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=60)
    build_base(root, key.with_suffix(".pub").read_text())
    shutil.rmtree(media, ignore_errors=True)
    media.mkdir()
    slots = {}
    for version in (NEXT, BROKEN, NOW):
        install_node(root, make_wheel(FOLDER, version, is_broken=version == BROKEN))
        slots[version] = make_slot(root, FOLDER, version)
        if version != NOW:
            shutil.move(slots[version].folder, media / version)
    make_suite(media)
    make_media(media, FOLDER / "media.img")
    port = find_port()
    with Localnet(FOLDER / "net", say=lambda _text: None) as net:
        home, submitter = make_network(net, port)
        state = FOLDER / "state"
        shutil.rmtree(state, ignore_errors=True)
        copy_home(home, state)
        make_disk(FOLDER / "disk.img", slots[NOW], 4096, "console=ttyS0 quiet no_timer_check edd=off", state)
        machine = Machine(FOLDER, FOLDER / "disk.img", FOLDER / "media.img", key, {port: PEER_PORT})
        del net.nodes[home.name]
        with machine.running():
            found = Provider(machine, net, home, submitter)
            found.wait_ready()
            yield found


def build_base(root: Path, public_key: str) -> None:
    """The root without the node, kept from an earlier run with the same recipe."""
    recipe = "".join(
        path.read_text() for path in sorted(Path(build_root.__code__.co_filename).parent.rglob("*")) if path.is_file()
    )
    stamp = root.with_suffix(".recipe")
    if stamp.exists() and stamp.read_text() == recipe + public_key:
        return
    stamp.unlink(missing_ok=True)
    build_root(root, TEST_PACKAGES, {**TEST_FILES, "root/.ssh/authorized_keys": public_key})
    (root / "root/.ssh").chmod(0o700)
    stamp.write_text(recipe + public_key)


def make_media(folder: Path, image: Path) -> None:
    """A disk with the files of the folder, and room beside them."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(6 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-L", "media", "-d", str(folder), str(image)], check=True, timeout=600)


@pytest.fixture
def machine(provider: Provider) -> Machine:
    return provider.machine


# ---------------------------------------------------------------------------------------------------------------- the host


def test_what_runs_was_verified_and_cannot_be_changed(machine: Machine) -> None:
    assert machine.run("findmnt -no FSTYPE,SOURCE /").split() == ["erofs", "/dev/mapper/root"]
    assert "verified" in machine.run("veritysetup status root")
    for place in ("/x", "/etc/x", "/usr/x", "/opt/xnode/x", "/root/x"):
        assert machine.run(f"touch {place} 2>&1; true").endswith("Read-only file system")


def test_cgroups_are_of_version_2_alone(machine: Machine) -> None:
    assert machine.run("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert machine.run("grep -c ' cgroup ' /proc/mounts; true") == "0"


def test_the_unit_is_ready_with_a_status_in_the_hosts_own_mount_namespace(provider: Provider) -> None:
    shown = provider.show_unit("Type", "NRestarts", "StatusText", "MainPID", "WatchdogUSec", "SubState")
    assert (shown["Type"], shown["SubState"], shown["NRestarts"], shown["WatchdogUSec"]) == (
        "notify",
        "running",
        "0",
        "2min",
    )
    assert shown["StatusText"].startswith("idle")
    namespaces = provider.machine.run(f"readlink /proc/1/ns/mnt /proc/{shown['MainPID']}/ns/mnt").split()
    assert namespaces[0] == namespaces[1]
    # The password came by credential.
    assert "/run/credentials/xnode.service" in provider.machine.run(
        "systemctl show -p Environment xnode; ls -d /run/credentials/*"
    )


# ------------------------------------------------------------------------------------------------------------- a workload


def test_a_workload_outlives_restart_kill_and_stop_and_is_paid_for_all_of_it(provider: Provider) -> None:
    lasts_s = STARTS * provider.measure_start_s() + SPARE_S
    job = provider.launch(lasts_s)
    workload = provider.find_workload(job.lease_hex)

    def goes_on_after(act: str, what: str) -> None:
        main, paid = provider.show_unit("MainPID")["MainPID"], len(job.read_receipts())
        provider.machine.run(act, WAIT_S)
        assert provider.is_alive(workload), what
        provider.wait_ready()
        assert provider.show_unit("MainPID")["MainPID"] != main, what
        job.wait_receipts(paid + 2, WAIT_S)
        assert provider.find_workload(job.lease_hex) == workload and provider.is_alive(workload), what
        assert provider.show_unit("StatusText")["StatusText"].startswith("serving 1 lease"), what

    goes_on_after("systemctl restart xnode", "restart")
    goes_on_after("systemctl kill --kill-whom=main -s KILL xnode; sleep 1", "kill -9")
    provider.machine.run("systemctl stop xnode", WAIT_S)
    assert provider.show_unit("ActiveState")["ActiveState"] == "inactive" and provider.is_alive(workload)
    goes_on_after("systemctl start xnode", "stop and start")
    detail = job.wait_settled(WAIT_S)
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    assert int(job.read_output("count.txt")) == lasts_s
    check_lines(job.read_log(), lasts_s)
    wait_until(
        lambda: provider.find_left(job.lease_hex) == "", f"nothing is left: {provider.find_left(job.lease_hex)}", WAIT_S
    )


# ------------------------------------------------------------------------------------------------------------- an update


def test_a_new_version_takes_the_other_slot_and_proves_itself(provider: Provider) -> None:
    machine = provider.machine
    machine.run(f"mount /dev/disk/by-label/media {MEDIA}")
    before = machine.read_boot()
    assert provider.ask("daemon status")["version"] == NOW
    node = provider.ask("daemon status")["node"]
    machine.run("XNODE_HOME=/var/lib/xnode xnode provider drain --wait", WAIT_S)
    machine.run(f"xnode-slot write {MEDIA}/{NEXT}", WAIT_S)
    assert f"b  {NEXT}  on trial, 3 more tries" in machine.run("xnode-slot status")
    machine.run("systemctl --no-block reboot")
    machine.wait_next_boot(before)
    provider.wait_ready()
    assert "xnode.slot=b" in machine.run("cat /proc/cmdline")
    status = provider.ask("daemon status")
    assert (status["version"], status["node"]) == (NEXT, node)
    wait_until(lambda: f"b  {NEXT}  proven, running" in machine.run("xnode-slot status"), "it proves itself", WAIT_S)
    assert f"a  {NOW}  proven" in machine.run("xnode-slot status")
    machine.run("XNODE_HOME=/var/lib/xnode xnode provider resume")


def test_a_version_that_does_not_come_up_is_left_without_anybodys_help(provider: Provider) -> None:
    machine = provider.machine
    machine.run(f"mount /dev/disk/by-label/media {MEDIA}")
    machine.run(f"XNODE_TRIES={TRIES} xnode-slot write {MEDIA}/{BROKEN}", WAIT_S)
    boot = machine.read_boot()
    machine.run("systemctl --no-block reboot")
    for _ in range(TRIES):
        boot = machine.wait_next_boot(boot, TRIAL_S)
        assert "xnode.slot=a" in machine.run("cat /proc/cmdline")
        assert machine.run("cat /etc/xnode-version") == BROKEN
    machine.wait_next_boot(boot, TRIAL_S)
    assert "xnode.slot=b" in machine.run("cat /proc/cmdline")
    provider.wait_ready()
    assert provider.ask("daemon status")["version"] == NEXT
    shown = machine.run("xnode-slot status").splitlines()
    assert shown == [f"a  {BROKEN}  did not come up; not tried again", f"b  {NEXT}  proven, running"]
    # And it serves as before.
    job = provider.launch(10)
    assert job.wait_settled(WAIT_S)["job"]["state"] == "done"


# -------------------------------------------------------------------------------------------------------------- the engine


def test_the_whole_engine_suite_passes_on_cgroups_of_version_2(machine: Machine) -> None:
    machine.run(f"findmnt {MEDIA} || mount /dev/disk/by-label/media {MEDIA}; systemctl stop xnode")
    log = machine.run(f"cd {MEDIA}/suite && {SUITE}", deadline_s=3 * 3600, check=False)
    (FOLDER / "suite.log").write_text(log)
    last = log.splitlines()[-1]
    assert " passed" in last and "failed" not in last and "error" not in last, log[-4000:]
