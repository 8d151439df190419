"""The shell scripts of nix/: the database is kept for the way back and put back; a node key never replaces another."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.make.nix import ROOT, Nix
from tests.test_pages import find_wrong

DEADLINE_S = 30


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "nix" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


def write(home: Path, text: str) -> None:
    """The database as some version has left it: in three files, as SQLite does."""
    for name in ("xnode.db", "xnode.db-wal", "xnode.db-shm"):
        (home / "data" / name).write_text(f"{name} {text}")


def read(home: Path) -> set[str]:
    return {path.read_text().partition(" ")[2] for path in (home / "data").glob("xnode.db*")}


def boot(home: Path, version: str, *more: str) -> str:
    done = run("keep-state.sh", home, version, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_way_back_has_the_database_as_it_was(home: Path) -> None:
    boot(home, "1")
    write(home, "of 1")
    assert boot(home, "2") == "2 after 1: the database is kept for the way back\n"
    write(home, "of 2")
    boot(home, "2")  # its second try
    assert read(home) == {"of 2"}
    assert boot(home, "1") == "2 did not come up: the database is as it was before it\n"
    assert read(home) == {"of 1"}
    left = home / "before" / "left-by-2"
    assert {path.read_text().partition(" ")[2] for path in left.iterdir()} == {"of 2"}, "what it wrote is not lost"


def test_a_version_that_has_come_up_leaves_no_way_back(home: Path) -> None:
    write(home, "of 1")
    boot(home, "1")
    boot(home, "2")
    write(home, "of 2")
    boot(home, "2", "settled")
    boot(home, "1")
    assert read(home) == {"of 2"}, "what a good version signed is never forgotten"


def test_the_next_update_after_a_way_back_keeps_anew(home: Path) -> None:
    write(home, "of 1")
    boot(home, "1")
    boot(home, "2")
    boot(home, "1")
    write(home, "of 1, later")
    boot(home, "3")
    write(home, "of 3")
    boot(home, "1")
    assert read(home) == {"of 1, later"}


def test_a_boot_that_was_cut_off_while_it_put_back_puts_back_again(home: Path) -> None:
    write(home, "of 1")
    boot(home, "1")
    boot(home, "2")
    write(home, "of 2")
    for path in (home / "data").iterdir():
        path.unlink()
    boot(home, "1")
    assert read(home) == {"of 1"}


def test_a_new_machine_has_nothing_to_keep(home: Path) -> None:
    shutil.rmtree(home / "data")
    assert boot(home, "1") == ""
    assert boot(home, "2") == ""


def test_the_declared_node_key_is_put_into_an_empty_home(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("a key")
    (tmp_path / "home").mkdir()
    for _ in range(2):
        assert run("place-node-key.sh", tmp_path / "given", tmp_path / "home").returncode == 0
    kept = tmp_path / "home" / "node-key.json"
    assert kept.read_text() == "a key" and kept.stat().st_mode & 0o777 == 0o600


def test_another_node_key_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("a key")
    (tmp_path / "node-key.json").write_text("another")
    done = run("place-node-key.sh", tmp_path / "given", tmp_path)
    assert done.returncode == 1 and (tmp_path / "node-key.json").read_text() == "another"
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


def test_every_command_of_the_scripts_and_of_the_machine_test_is_one(nix: Nix) -> None:
    text = nix.evaluate("self.checks.x86_64-linux.one-paid-job.testScript")
    compile(text, "testScript", "exec")
    text += (ROOT / "nix" / "one-paid-job.sh").read_text()
    for name in ("module.nix", "image.nix"):
        text += re.sub(r"\$\{(?:cfg.package\}/bin/)?xnode\}?", "\nxnode", (ROOT / "nix" / name).read_text())
    commands = re.findall(r"(?:^|[\"'(]|\bbuyer) *xnode ((?:[a-z-]+ ?)+(?:--[a-z-]+)?)", text, re.MULTILINE)
    assert len(commands) > 15, commands
    assert not [line for line in commands if find_wrong(line.split())]
