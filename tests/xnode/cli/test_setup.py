"""Setup: a command that changes the config leaves a person's own file as it is, but for what was asked."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from xnode.cli.node.setup import update_config
from xnode.cli.provider.init import find_changes
from xnode.cli.provider.prices import CREDIT_PRICES
from xnode.errors import UserError
from xnode.home import Home, make_private

PERSONAL = """\
# bought in May
[submitter]
quotes = 5   # more choice
# payer = ""  # not yet

[chain]
manifest = "chain.json"
"""

PAYER = "0x" + "cd" * 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "config.toml").write_text(PERSONAL)
    return Home(tmp_path)


def test_a_second_init_keeps_comments_and_order(home: Home) -> None:
    for _ in range(2):
        config = update_config(home, {"submitter": {"payer": PAYER}, "chain": {"manifest": "chain.json"}})
        assert config.submitter.payer == bytes.fromhex("cd" * 20)
        assert home.config.read_text() == PERSONAL.replace('# payer = ""', f'payer = "{PAYER}"')


def test_a_wrong_value_is_refused_before_anything_is_written(home: Home) -> None:
    with pytest.raises(UserError, match=r"provider\.prices\.vcpu_hour: not a price"):
        update_config(home, {"provider": {"prices": {"vcpu_hour": "cheap"}}})
    assert home.config.read_text() == PERSONAL


def test_a_second_provider_init_changes_what_it_is_given() -> None:
    written = {"region": "local", "asset": "OPENX", "prices": {"vcpu_hour": "0.5"}}
    assert find_changes(written, None, None) == {}
    assert find_changes(written, "eu-west", "OPENX") == {"region": "eu-west"}
    assert find_changes(written, None, "tCPU") == {"asset": "tCPU", "prices": CREDIT_PRICES["tCPU"]}


def test_every_folder_that_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "devnet"
    make_private(folder)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, folder.parent)] == [0o700, 0o700]
