"""Which paths of a host are hidden from workloads, on hosts that are not this one."""

from __future__ import annotations

from pathlib import Path

from xnode.runtime.host.hidden import find_hidden

LOOP = "devices/virtual/block/loop0"
VIRTIO = "devices/pci0000:00/0000:00:02.0/virtio1/block/vda"
NVME = "devices/pci0000:00/0000:00:03.0/nvme/nvme0/nvme0n1"


def make_host(root: Path) -> None:
    """A host with a loop device, a disk on a bus, and some file systems."""
    for folder in ("proc", "sys/block", "sys/fs/ext4/loop0", "sys/fs/cgroup", "sys/fs/xfs", "sys/class/block"):
        (root / folder).mkdir(parents=True)
    (root / "proc/diskstats").write_text("7 0 loop0 1 2 3")
    for disk in (LOOP, VIRTIO, NVME):
        (root / "sys" / disk).mkdir(parents=True)
        (root / "sys/block" / Path(disk).name).symlink_to(root / "sys" / disk)


def test_every_place_that_names_a_disk_is_hidden(tmp_path: Path) -> None:
    make_host(tmp_path)
    hidden = find_hidden(tmp_path)
    assert {
        "/proc/diskstats",
        "/sys/block",
        "/sys/class/block",
        "/sys/devices/virtual/block",
        "/sys/devices/pci0000:00/0000:00:02.0/virtio1/block",
        f"/sys/{NVME}",
        "/sys/fs/ext4",
        "/sys/fs/xfs",
    } == set(hidden)


def test_what_a_host_does_not_have_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    assert find_hidden(tmp_path) == ()


def test_what_programs_need_stays() -> None:
    hidden = set(find_hidden())
    assert not hidden & {
        "/proc/meminfo",
        "/proc/stat",
        "/proc/cpuinfo",
        "/proc/uptime",
        "/sys/fs/cgroup",
        "/sys/kernel/mm",
    }
