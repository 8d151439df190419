"""Config file: replaced in one step, with its mode; what is declared elsewhere, or cannot be replaced, stays as it was."""

from __future__ import annotations

import os
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from xnode.config.file import MAX_CONFIG_BYTES, find_declaration, read_table, write_config
from xnode.config.load import load_config
from xnode.errors import ExitCode, UserError
from xnode.home import Home

PROVIDER = """
[chain]
manifest = "chain.json"

[provider]
owner = "0xabababababababababababababababababababab"
region = "eu"
interval = "2s"

[provider.prices]
vcpu_hour = "0.02"
memory_gib_hour = "0.005"

[provider.share]
vcpus = 1.5
memory = "2GiB"
disk = "10GiB"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_what_is_written_is_read_back_and_explained(home: Home) -> None:
    table = tomllib.loads(PROVIDER) | {"node": {"bootstrap": ['/dns4/a/tcp/1/p2p/16Ui"x'.replace('"', "")]}}
    write_config(home, table)
    assert tomllib.loads(home.config.read_text()) == table | {"submitter": {}}
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600
    assert "# time between two receipts" in home.config.read_text()
    assert load_config(home).provider is not None


def test_quotes_and_backslashes_survive_the_writing(home: Home) -> None:
    table = {"chain": {"manifest": 'a "b" \\ c\n'}}
    write_config(home, table)
    assert tomllib.loads(home.config.read_text())["chain"] == table["chain"]


def test_a_new_file_is_private_and_a_changed_one_keeps_its_mode(home: Home) -> None:
    write_config(home, {})
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600
    home.config.chmod(0o640)
    write_config(home, {"node": {"dht": False}})
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o640
    assert [path.name for path in home.folder.iterdir()] == ["config.toml"]


OFF = {"node": {"dht": False}}
DECLARED = "[node]\ndht = true  # for now\n"


def refuse_to_write(home: Home) -> UserError:
    """What is said when a command would change it; nothing is changed, and nothing is left beside it."""
    beside = set(home.config.parent.iterdir())
    with pytest.raises(UserError) as caught:
        write_config(home, OFF)
    assert home.config.read_text() == DECLARED and set(home.config.parent.iterdir()) == beside
    assert (caught.value.where, caught.value.code) == (str(home.config), ExitCode.REFUSED)
    assert "nothing was changed" in caught.value.what and "xnode config reload" in caught.value.hint
    return caught.value


@pytest.fixture
def declared(home: Home) -> Home:
    home.make()
    home.config.write_text(DECLARED)
    return home


def test_a_link_is_not_replaced_and_its_end_is_named(home: Home, tmp_path: Path) -> None:
    home.make()
    kept = tmp_path / "repository" / "node.toml"
    kept.parent.mkdir()
    kept.write_text(DECLARED)
    home.config.symlink_to("../repository/node.toml")
    assert f"it is a link to {kept}" in refuse_to_write(home).what
    assert home.config.is_symlink() and kept.read_text() == DECLARED


def test_a_link_that_leads_nowhere_is_not_replaced_either(home: Home) -> None:
    home.make()
    home.config.symlink_to("gone.toml")
    with pytest.raises(UserError, match=r"a link to .*gone\.toml"):
        write_config(home, OFF)
    assert home.config.is_symlink() and not home.config.exists()


def test_a_file_that_nobody_may_write_is_not_replaced(declared: Home) -> None:
    declared.config.chmod(0o444)
    assert f"it is read-only, in {declared.folder}" in refuse_to_write(declared).what


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_replaced_but_by_root_for_the_owner_of_the_home(declared: Home) -> None:
    os.chown(declared.config, 65534, 65534)
    assert "it belongs to nobody" in refuse_to_write(declared).what
    os.chown(declared.folder, 65534, 65534)
    write_config(declared, OFF)
    assert tomllib.loads(declared.config.read_text()) == OFF
    assert declared.config.stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_file_that_is_mounted_there_is_not_replaced(declared: Home, tmp_path: Path) -> None:
    source = tmp_path / "in a store.toml"
    source.write_text(DECLARED)
    mount(source, declared.config, "--bind")
    try:
        assert "it is mounted there from " in refuse_to_write(declared).what
        assert str(source) in find_declaration(declared.config), "a space in its name is shown as one"
    finally:
        subprocess.run(["umount", str(declared.config)], check=True, timeout=10)
    write_config(declared, OFF)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_file_on_a_read_only_file_system_is_not_replaced(declared: Home) -> None:
    mount(declared.folder, declared.folder, "--bind")
    try:
        mount(declared.folder, declared.folder, "-o", "remount,bind,ro")
        assert "it is on a read-only file system" in refuse_to_write(declared).what
    finally:
        subprocess.run(["umount", str(declared.folder)], check=True, timeout=10)


def mount(source: Path, target: Path, *options: str) -> None:
    done = subprocess.run(
        ["mount", *options, str(source), str(target)], capture_output=True, text=True, timeout=10, check=False
    )
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr}")


def test_what_it_says_already_is_no_change_also_where_it_is_declared(declared: Home) -> None:
    declared.config.chmod(0o444)
    write_config(declared, {"node": {"dht": True}})
    assert declared.config.read_text() == DECLARED


def test_settings_that_are_not_in_the_home_are_written_where_they_are(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "etc" / "xnode" / "node.toml")
    write_config(home, OFF)
    assert tomllib.loads((tmp_path / "etc/xnode/node.toml").read_text())["node"] == OFF["node"]
    assert read_table(home)["node"] == OFF["node"] and not (tmp_path / "home" / "config.toml").exists()


def test_a_file_that_cannot_be_replaced_stays_and_is_named(home: Home) -> None:
    write_config(home, {"node": {"dht": False}})
    before = home.config.read_text()
    home.config.with_name("config.toml.new").mkdir()
    with pytest.raises(UserError) as caught:
        write_config(home, {"node": {"dht": True}})
    assert caught.value.where == str(home.config)
    assert "Is a directory" in caught.value.what and "environment" in caught.value.hint
    assert caught.value.code == ExitCode.FAILED
    assert home.config.read_text() == before


def test_a_file_larger_than_any_config_is_not_read(home: Home) -> None:
    home.make()
    home.config.write_text("#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(UserError, match="longer than"):
        read_table(home)
