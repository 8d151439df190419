"""What is missing is named as this Linux calls it: its own installer, its own package."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnode.distribution import COMPILED, INSTALL, PACKAGES, find_manager, install_command, judge_release, name_packages
from xnode.runtime.host.facts import PROGRAMS, RUNTIMES

RELEASES = {
    'ID=debian\nVERSION_ID="13"\n': "apt",
    "ID=ubuntu\nID_LIKE=debian\n": "apt",
    "ID=linuxmint\nID_LIKE='ubuntu debian'\n": "apt",
    "NAME=Fedora\nID=fedora\n": "dnf",
    'ID="rocky"\nID_LIKE="rhel centos fedora"\n': "dnf",
    'ID="amzn"\nID_LIKE="fedora"\n': "dnf",
    "ID=arch\n": "pacman",
    "ID=manjaro\nID_LIKE=arch\n": "pacman",
    'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n': "zypper",
    'ID="sles"\nID_LIKE="suse"\n': "zypper",
    "ID=nixos\n": "",
    "": "",
    "no field\nID='unclosed\n\x00=\n": "",
}


@pytest.mark.parametrize(("text", "manager"), RELEASES.items())
def test_a_distribution_is_known_by_what_it_is_made_from(text: str, manager: str) -> None:
    assert judge_release(text) == manager


def test_a_host_without_os_release_is_unknown(tmp_path: Path) -> None:
    assert find_manager(tmp_path) == ""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=arch\n")
    assert find_manager(tmp_path) == "pacman"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=fedora\n")
    assert find_manager(tmp_path) == "dnf"


@pytest.mark.parametrize(
    ("manager", "said"),
    [
        ("apt", "apt install podman iproute2 mount"),
        ("dnf", "dnf install podman iproute util-linux"),
        ("pacman", "pacman -S podman iproute2 util-linux"),
        ("zypper", "zypper install podman iproute2 util-linux"),
        ("", "install podman iproute2 util-linux"),
    ],
)
def test_each_package_has_the_name_it_has_there(manager: str, said: str) -> None:
    assert install_command("podman", "ip", "mount", "umount", manager=manager) == said  # type: ignore[arg-type]


def test_what_compiles_a_library_is_named_everywhere() -> None:
    assert name_packages(COMPILED, "apt") == ["gcc", "libgmp-dev", "python3-dev"]
    assert name_packages(COMPILED, "dnf") == ["gcc", "gmp-devel", "python3-devel"]


def test_every_program_that_a_provider_runs_has_a_package() -> None:
    # gVisor is in no distribution but Debian, and not in every release of that.
    assert {*PROGRAMS, *RUNTIMES} - PACKAGES.keys() == {"runsc"}
    assert all(name_packages(PACKAGES, manager) for manager in INSTALL)
