"""Distribution: how this Linux calls the packages that bring the programs we run, for the one line that says what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Manager = Literal["apt", "dnf", "pacman", "zypper", ""]
"""What installs packages; "" where we know none."""

INSTALL: dict[Manager, str] = {
    "apt": "apt install",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "zypper": "zypper install",
}

MANAGERS: dict[str, Manager] = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "amzn": "dnf",
    "arch": "pacman",
    "suse": "zypper",
    "opensuse": "zypper",
    "sles": "zypper",
}
"""By ID of os-release(5); what is made from one of them names it in ID_LIKE."""

PACKAGES: dict[str, dict[Manager, str]] = {
    "podman": {},
    "crun": {},
    "runc": {},
    "conmon": {},
    "nft": {"": "nftables"},
    "ip": {"": "iproute2", "dnf": "iproute"},
    "mkfs.ext4": {"": "e2fsprogs"},
    "mount": {"": "util-linux", "apt": "mount"},
    "umount": {"": "util-linux", "apt": "mount"},
    "newuidmap": {"": "shadow", "apt": "uidmap", "dnf": "shadow-utils"},
    "docker": {"": "docker", "apt": "docker.io", "dnf": "moby-engine"},
    "ssh-keygen": {"": "openssh", "apt": "openssh-client", "dnf": "openssh-clients"},
    "cc": {"": "gcc"},
    "gmp.h": {"": "gmp-devel", "apt": "libgmp-dev", "pacman": "gmp"},
    "Python.h": {"": "python3-devel", "apt": "python3-dev", "pacman": "python"},
}
"""The package of each program and header: "" where nothing else is said, and the program's own name where not even that."""

COMPILED = ("cc", "gmp.h", "Python.h")
"""What libp2p's fastecdsa is compiled by: it has no wheel for Linux (docs/install.md)."""

OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


def find_manager(root: Path = Path("/")) -> Manager:
    """What installs packages on this host, by its os-release; "" when that is missing or names nothing that we know."""
    for name in OS_RELEASE:
        path = root / name
        if path.is_file():
            return judge_release(path.read_text(errors="replace"))
    return ""


def judge_release(text: str) -> Manager:
    """What installs packages where os-release says this."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        try:
            fields[name.strip()] = " ".join(shlex.split(value))
        except ValueError:
            continue
    for word in f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".lower().split():
        # openSUSE says opensuse-leap, opensuse-tumbleweed.
        manager = MANAGERS.get(word) or MANAGERS.get(word.partition("-")[0])
        if manager:
            return manager
    return ""


def name_packages(programs: Iterable[str], manager: Manager) -> list[str]:
    """The packages that bring these programs (of PACKAGES), each once, in their order."""
    found = (PACKAGES[one].get(manager) or PACKAGES[one].get("") or one for one in programs)
    return list(dict.fromkeys(found))


def install_command(*programs: str, manager: Manager | None = None) -> str:
    """What brings these programs, as a person types it: "apt install podman crun". manager: of this host when not given."""
    manager = find_manager() if manager is None else manager
    packages = " ".join(name_packages(programs, manager))
    return f"{INSTALL[manager]} {packages}" if manager else f"install {packages}"
