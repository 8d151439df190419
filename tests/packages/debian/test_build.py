"""A package's fields, files and scripts, and that it is the same bytes twice; `make test-deb` tries whole ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from packages.debian.build import PARTS, PREFIX, RECOMMENDS, forget_time, list_dependencies, pack, write_control
from packages.debian.root import SUITES, make_sources
from packages.debian.trial import KEYS, find_strays, make_before, snapshot
from xnode.distribution import PACKAGES, name_packages

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="not a Debian")
SCRIPTS = ("postinst", "prerm", "postrm")

CONTROL = """Package: xnode
Version: 1.0-1+deb12
Architecture: all
Maintainer: us <us@localhost>
Description: short
"""
"""Of a package that needs nothing."""


def make_tree(folder: Path, more: str = "") -> Path:
    """A small package's files, with times and modes of this moment."""
    module = folder / "usr/lib/xnode/lib/python3.11/site-packages/xnode/main.py"
    module.parent.mkdir(parents=True)
    module.write_text("MAIN = 1\n")
    (folder / "usr/bin").mkdir()
    (folder / "usr/bin/xnode").symlink_to("../lib/xnode/bin/xnode")
    program = folder / "usr/lib/xnode/bin/xnode"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    write_control(folder, CONTROL + more)
    return folder


@needs_dpkg
def test_a_package_built_twice_is_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    before = os.umask(0o022)
    try:
        first = pack(make_tree(tmp_path / "a"), tmp_path / "out-a", "1.0", "all")
        os.umask(0o077)
        second = pack(make_tree(tmp_path / "b"), tmp_path / "out-b", "1.0", "all")
    finally:
        os.umask(before)
    assert first.name == second.name == "xnode_1.0_all.deb"
    assert first.read_bytes() == second.read_bytes()


@needs_dpkg
def test_files_belong_to_root_and_have_their_checksums(tmp_path: Path) -> None:
    deb = pack(make_tree(tmp_path / "a"), tmp_path, "1.0", "all")
    listed = subprocess.run(
        ["dpkg-deb", "-c", str(deb)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert listed and all(line.split()[1] == "root/root" for line in listed)
    assert next(line for line in listed if line.endswith("bin/xnode")).startswith("-rwxr-xr-x")
    lines = (tmp_path / "a/DEBIAN/md5sums").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    module = "usr/lib/xnode/lib/python3.11/site-packages/xnode/main.py"
    assert sums[module] == hashlib.md5(b"MAIN = 1\n").hexdigest()
    assert "usr/bin/xnode" not in sums and not any(name.startswith("DEBIAN") for name in sums)


@needs_dpkg
def test_what_it_needs_is_named_once_each(tmp_path: Path) -> None:
    depends = "Depends: python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.36), a | b\n"
    deb = pack(make_tree(tmp_path / "a", depends), tmp_path, "1.0", "all")
    assert list_dependencies(deb) == ["python3", "libc6", "a"]


def test_when_it_was_installed_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / PREFIX / "lib/python3.11/site-packages/xnode-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "uv_cache.json").write_text('{"timestamp": 7}')
    (folder / "RECORD").write_text("xnode/a.py,sha256=x,1\nxnode-1.0.dist-info/uv_cache.json,sha256=y,2\n")
    forget_time(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["RECORD"]
    assert (folder / "RECORD").read_text() == "xnode/a.py,sha256=x,1\n"


@needs_dpkg
def test_the_version_before_of_a_trial_is_older_and_has_one_module_more(tmp_path: Path) -> None:
    deb = pack(make_tree(tmp_path / "a"), tmp_path, "1.0", "all")
    before = make_before(deb, tmp_path)
    ask = ["dpkg-deb", "-f", str(before), "Version"]
    version = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    assert subprocess.run(["dpkg", "--compare-versions", version, "lt", "0.1"], check=False).returncode == 0
    listed = subprocess.run(["dpkg-deb", "-c", str(before)], capture_output=True, text=True, check=True).stdout
    assert "xnode/gone.py" in listed


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_package_script_is_one_and_asks_nothing(name: str) -> None:
    text = (PARTS / name).read_text()
    assert subprocess.run(["sh", "-n", str(PARTS / name)], check=False).returncode == 0
    assert text.startswith("#!/bin/sh\n") and "\nset -e\n" in text
    assert not [word for word in ("debconf", "db_input", "read ", "/dev/tty") if word in text]


def run_postrm(folder: Path, act: str) -> subprocess.CompletedProcess[str]:
    """The script, about a home and a prefix below the folder, on a system without such a user."""
    text = (PARTS / "postrm").read_text()
    assert text.count("HOME_FOLDER=/var/lib/xnode\n") == text.count("rm -rf /usr/lib/xnode\n") == 1
    text = text.replace("HOME_FOLDER=/var/lib/xnode", f"HOME_FOLDER={folder}/home").replace(
        "/usr/lib/xnode", f"{folder}/lib"
    )
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    for tool, body in {"getent": "exit 2", "chown": "echo $@", "systemctl": "exit 1"}.items():
        (tools / tool).write_text(f"#!/bin/sh\n{body}\n")
        (tools / tool).chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}
    return subprocess.run(
        ["sh", "-c", text, "postrm", act], env=environment, capture_output=True, text=True, check=True
    )


def make_home(folder: Path, names: tuple[str, ...]) -> Path:
    home = folder / "home"
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    home.mkdir(exist_ok=True)
    return home


def test_purging_leaves_keys_and_nothing_else(tmp_path: Path) -> None:
    home = make_home(tmp_path, (*KEYS, "config.toml", "data/logs/1", ".hidden", "two words"))
    said = run_postrm(tmp_path, "purge").stdout
    left = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert left == set(KEYS) and f"the keys in {home} stay" in said and f"-R root:root {home}" in said


@pytest.mark.parametrize("names", [(), ("config.toml", "data/x")])
def test_purging_a_home_without_keys_leaves_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    home = make_home(tmp_path, names)
    (home / "keystore").mkdir()
    assert "stay" not in run_postrm(tmp_path, "purge").stdout
    assert not home.exists()


def test_removing_keeps_the_home_and_takes_the_program(tmp_path: Path) -> None:
    home = make_home(tmp_path, (*KEYS, "config.toml"))
    (tmp_path / "lib/bin").mkdir(parents=True)
    run_postrm(tmp_path, "remove")
    assert (home / "config.toml").is_file() and not (tmp_path / "lib").exists()


@pytest.mark.parametrize("act", ["upgrade", "failed-upgrade", "abort-install", "disappear"])
def test_an_upgrade_takes_nothing_away(tmp_path: Path, act: str) -> None:
    home = make_home(tmp_path, (*KEYS, "config.toml"))
    (tmp_path / "lib/bin").mkdir(parents=True)
    run_postrm(tmp_path, act)
    assert (home / "config.toml").is_file() and (tmp_path / "lib/bin").is_dir()


def test_sources_of_another_release_are_this_machines_own(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    other = "deb https://elsewhere.example/apt other main\n"
    (tmp_path / "apt/sources.list.d/a.list").write_text(other)
    with pytest.raises(SystemExit, match="no source of Debian bookworm"):
        make_sources("trixie", tmp_path)
    (tmp_path / "apt/sources.list.d/debian.sources").write_text(
        "Types: deb\n# comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
    )
    assert " http://mirror.example/debian trixie main\n" in make_sources("trixie", tmp_path)
    (tmp_path / "apt/sources.list.d/debian.sources").unlink()
    (tmp_path / "apt/sources.list").write_text("deb [arch=amd64] http://old.example/debian bookworm main\n")
    assert " http://old.example/debian trixie main\n" in make_sources("trixie", tmp_path)


def test_a_provider_is_recommended_every_program_it_runs() -> None:
    engine = [
        one for one in PACKAGES if one in ("podman", "crun", "conmon", "nft", "ip", "mkfs.ext4", "mount", "newuidmap")
    ]
    assert set(name_packages(engine, "apt")) == set(RECOMMENDS)
    assert set(SUITES.values()) == {"12", "13"}


def test_a_trial_sees_whatever_is_left_or_gone(tmp_path: Path) -> None:
    for name in ("etc/passwd", "usr/bin/a", "var/lib/dpkg/status", "var/log/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    clean = snapshot(tmp_path)
    assert find_strays(clean, snapshot(tmp_path)) == (set(), set())
    (tmp_path / "etc/passwd").write_text("2")
    (tmp_path / "usr/bin/a").unlink()
    (tmp_path / "usr/lib/new").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text("2")
    assert find_strays(clean, snapshot(tmp_path)) == ({"etc/passwd", "usr/lib", "usr/lib/new"}, {"usr/bin/a"})
