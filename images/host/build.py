"""Build an immutable host: Debian with the node in it, as an image for a slot, and a disk that starts from it.

    python3 -m images.host.build OUT WHEEL      (from the repository's root, as root, on Debian)

OUT/VERSION gets root.erofs, root.verity, roothash, linux, initrd and version, which is what `xnode-slot write` takes;
OUT/disk.img is a disk with this version in slot a, for UEFI. What such a host does, and how it is tested: docs/boot-test.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).parent / "files"
ROOT = Path(__file__).parents[2]

PROGRAMS = ("mmdebstrap", "mkfs.erofs", "veritysetup", "mkfs.vfat", "mcopy", "sfdisk", "mkfs.ext4")
"""Debian's mmdebstrap, erofs-utils, cryptsetup-bin, dosfstools, mtools, fdisk, e2fsprogs."""

PACKAGES = (
    "systemd", "systemd-sysv", "systemd-boot", "systemd-resolved", "udev", "dbus", "kmod", "linux-image-cloud-amd64",
    "initramfs-tools", "cryptsetup-bin", "busybox-static", "zstd", "util-linux", "mount", "podman", "crun", "conmon",
    "uidmap", "nftables", "iproute2", "e2fsprogs", "python3", "libgmp10", "ca-certificates",
)  # fmt: skip
"""What the host needs to start, and a provider on it."""

NODE = "/opt/xnode"
"""The node's own environment in the root."""

MIB = 1 << 20
ESP_MIB, SLOT_MIB, VERITY_MIB = 200, 1024, 16

KERNEL_OPTIONS = "root=/dev/mapper/root rootfstype=erofs ro systemd.volatile=state panic=10"
"""volatile=state: / and all below it is read-only, /var begins empty at each boot; what lasts is on the state partition."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A version of the host, ready for a slot."""

    folder: Path

    @property
    def version(self) -> str:
        return (self.folder / "version").read_text().strip()

    @property
    def root_hash(self) -> str:
        return (self.folder / "roothash").read_text().strip()


def main() -> None:
    """Build into the folder that the command line names."""
    if len(sys.argv) != 3:
        sys.exit("usage: python3 -m images.host.build OUT WHEEL")
    out, wheel = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    require_programs()
    root = out / "root"
    build_root(root)
    install_node(root, wheel)
    slot = make_slot(root, out, wheel.name.split("-")[1])
    make_disk(out / "disk.img", slot, state_mib=4096)
    print(slot.folder)


def require_programs() -> None:
    """End with what is missing."""
    missing = [one for one in PROGRAMS if shutil.which(one) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")


def build_root(root: Path, packages: tuple[str, ...] = (), files: Mapping[str, str] | None = None) -> None:
    """A root without the node. packages, files (path: text): more of them."""
    say("installing Debian by mmdebstrap")
    shutil.rmtree(root, ignore_errors=True)
    hook = (
        'set -e; f="$1/etc/initramfs-tools"; mkdir -p "$f/hooks" "$f/scripts/local-top"; '
        f'install -m 755 {FILES}/initramfs-hook "$f/hooks/xnode"; '
        f'install -m 755 {FILES}/initramfs-verity "$f/scripts/local-top/xnode"; '
        'chroot "$1" update-initramfs -u'
    )
    _run(
        "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
        f"--include={','.join((*PACKAGES, *packages))}",
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--skip=cleanup/reproducible",
        f"--customize-hook={hook}", find_codename(), str(root), *find_apt_sources(),
        environment={"DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    for name in ("xnode-slot", "xnode-healthy"):
        shutil.copy(FILES / name, root / "usr/local/sbin" / name)
    shutil.copy(ROOT / "nix/keep-state.sh", root / "usr/local/lib/keep-state.sh")
    for name, by in {
        "xnode-healthy.service": "boot-complete.target",
        "xnode-keep-state.service": "xnode.service",
    }.items():
        units = root / "etc/systemd/system"
        shutil.copy(FILES / name, units / name)
        (units / f"{by}.requires").mkdir()
        (units / f"{by}.requires" / name).symlink_to(f"../{name}")
    shutil.copy(FILES / "fstab", root / "etc/fstab")
    (root / "etc/machine-id").write_text("")
    (root / "etc/systemd/network/80-dhcp.network").write_text("[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n")
    _relink(root / "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    networkd = "lib/systemd/system/systemd-networkd.service"
    _relink(root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service", f"/{networkd}")
    (root / "etc/hostname").write_text("xnode\n")
    (root / "etc/environment").write_text(f"PATH={NODE}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n")
    for folder in ("efi", "var/lib/xnode"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path, text in (files or {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def install_node(root: Path, wheel: Path) -> None:
    """The node from its wheel, with the locked versions of what it needs, and its unit."""
    say(f"installing {wheel.name}")
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split()[0] for line in lock if "==" in line[:80] and not line.startswith((" ", "#"))]
    uv = Path(sys.executable).with_name("uv")
    cache = Path(subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip())
    work = root / "mnt"
    with tempfile.TemporaryDirectory(prefix="xnode-host-") as text:
        folder = Path(text)
        (folder / "pins").write_text("\n".join(pins) + "\n")
        shutil.copy(wheel, folder / wheel.name)
        shutil.copy(uv, folder / "uv")
        steps = f"""
set -e
for one in work cache; do mkdir -p {work}/$one; done
mount --bind {folder} {work}/work
mount --bind {cache} {work}/cache
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
mkdir -p {root}/run/systemd/resolve
cp -L /etc/resolv.conf {root}/run/systemd/resolve/stub-resolv.conf
cp /etc/ssl/certs/ca-certificates.crt {work}/work/ca.crt
export UV_CACHE_DIR=/mnt/cache SSL_CERT_FILE=/mnt/work/ca.crt UV_LINK_MODE=copy HOME=/tmp XNODE_HOME=/var/lib/xnode
[ -x {root}{NODE}/bin/python ] || chroot {root} python3 -m venv --without-pip {NODE}
chroot {root} /mnt/work/uv pip install -q --python {NODE}/bin/python --compile-bytecode --reinstall-package xnode \\
  --constraints /mnt/work/pins '/mnt/work/{wheel.name}[capacity]'
chroot {root} {NODE}/bin/xnode install systemd --role provider
rm -r {root}/run/systemd
"""
        _run("unshare", "-m", "--propagation=private", "sh", "-c", steps)
    for name in ("work", "cache"):
        (work / name).rmdir()


def make_slot(root: Path, out: Path, version: str) -> Slot:
    """The root as it is now, packed, with the tree of its hashes. Times are kept: Python's compiled files are bound to them."""
    say(f"packing {version}")
    folder = out / version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (root / "etc/xnode-version").write_text(f"{version}\n")
    excluded = ("var/cache/apt", "var/lib/apt/lists", "boot")
    _run(
        "mkfs.erofs", "-zlz4", "--preserve-mtime", "-U", "00000000-0000-4000-8000-000000000000",
        *(f"--exclude-path={one}" for one in excluded), str(folder / "root.erofs"), str(root),
    )  # fmt: skip
    told = _run("veritysetup", "format", str(folder / "root.erofs"), str(folder / "root.verity"))
    (folder / "roothash").write_text(next(line.split()[-1] for line in told.splitlines() if "Root hash" in line))
    for name, kind in (("linux", "vmlinuz"), ("initrd", "initrd.img")):
        (found,) = sorted((root / "boot").glob(f"{kind}-*"))
        shutil.copy(found, folder / name)
    (folder / "version").write_text(f"{version}\n")
    return Slot(folder)


def make_disk(disk: Path, slot: Slot, state_mib: int, options: str = "", state: Path | None = None) -> None:
    """A disk for UEFI with this version in slot a, slot b empty, and a state partition with what `state` holds.

    options: more words for the kernel.
    """
    say(f"making {disk.name}")
    sizes = {"xnode-esp": ESP_MIB, "xnode-a": SLOT_MIB, "xnode-a-verity": VERITY_MIB, "xnode-b": SLOT_MIB}
    sizes |= {"xnode-b-verity": VERITY_MIB, "xnode-state": state_mib}
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate((sum(sizes.values()) + 2) * MIB)
    kinds = {"xnode-esp": "U"}
    table = "label: gpt\n" + "".join(
        f'size={size}MiB, type={kinds.get(name, "L")}, name="{name}"\n' for name, size in sizes.items()
    )
    _run("sfdisk", "--quiet", str(disk), given=table)
    starts, at = {}, 1
    for name, size in sizes.items():
        starts[name], at = at, at + size
    with tempfile.TemporaryDirectory(prefix="xnode-disk-", dir=disk.parent) as text:
        folder = Path(text)
        esp, data = folder / "esp", folder / "state"
        _make_esp(esp, slot, f"{KERNEL_OPTIONS} {options}".strip())
        _put(esp, disk, starts["xnode-esp"])
        _put(slot.folder / "root.erofs", disk, starts["xnode-a"])
        _put(slot.folder / "root.verity", disk, starts["xnode-a-verity"])
        with data.open("wb") as file:
            file.truncate(state_mib * MIB)
        _run("mkfs.ext4", "-q", *(("-d", str(state)) if state else ()), str(data))
        _put(data, disk, starts["xnode-state"])


def _make_esp(path: Path, slot: Slot, options: str) -> None:
    entry = (
        f"title xnode\nsort-key xnode\nversion {slot.version}\nlinux /xnode/a/linux\ninitrd /xnode/a/initrd\n"
        f"options xnode.slot=a xnode.roothash={slot.root_hash} {options}\n"
    )
    (path.parent / "xnode-a.conf").write_text(entry)
    (path.parent / "loader.conf").write_text("timeout 0\n")
    loader = slot.folder.parent / "root/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
    with path.open("wb") as file:
        file.truncate(ESP_MIB * MIB)
    _run("mkfs.vfat", "-F", "32", "-n", "XNODE-ESP", str(path))
    _run(
        "mmd",
        "-i",
        str(path),
        *(f"::{one}" for one in ("EFI", "EFI/BOOT", "loader", "loader/entries", "xnode", "xnode/a")),
    )
    places = {
        loader: "EFI/BOOT/BOOTX64.EFI",
        path.parent / "loader.conf": "loader/loader.conf",
        path.parent / "xnode-a.conf": "loader/entries/xnode-a.conf",
        slot.folder / "linux": "xnode/a/linux",
        slot.folder / "initrd": "xnode/a/initrd",
    }
    for source, place in places.items():
        _run("mcopy", "-i", str(path), str(source), f"::{place}")


def _relink(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _put(source: Path, disk: Path, at_mib: int) -> None:
    _run("dd", f"if={source}", f"of={disk}", "bs=1M", f"seek={at_mib}", "conv=notrunc,sparse", "status=none")


def find_codename() -> str:
    """The Debian that this runs on, which is the one that is built."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return release["VERSION_CODENAME"].strip('"')


def find_apt_sources() -> list[str]:
    """The machine's own package sources that are Debian's."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return [str(one) for one in files if one.is_file() and "debian" in one.read_text() and "Suites" in one.read_text()]


def say(text: str) -> None:
    """One line a step."""
    print(f"  {text}", file=sys.stderr, flush=True)


def _run(*command: str, given: str = "", environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, input=given, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
