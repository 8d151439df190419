"""Config file: replaced in one step, through links, with its mode; what cannot be replaced stays as it was."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from xnode.config.file import MAX_CONFIG_BYTES, read_table, write_config
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


def test_a_link_is_written_through(home: Home, tmp_path: Path) -> None:
    home.make()
    kept = tmp_path / "repository" / "node.toml"
    kept.parent.mkdir()
    kept.write_text("[node]\ndht = true  # for now\n")
    home.config.symlink_to("../repository/node.toml")
    write_config(home, {"node": {"dht": False}})
    assert home.config.is_symlink()
    assert kept.read_text() == "[node]\ndht = false  # for now\n"


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
