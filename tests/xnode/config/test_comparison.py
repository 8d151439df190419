"""Comparison: what differs between two configs is a value in effect, and their hash is of what others may know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.xnode.config.test_settings import PROVIDER
from xnode.config.catalog import settings
from xnode.config.comparison import Difference, find_differences, settings_hash_of
from xnode.config.load import load_config
from xnode.config.settings import Config
from xnode.home import Home


def make_config(folder: Path, text: str = PROVIDER) -> Config:
    home = Home(folder)
    home.make()
    home.config.write_text(text)
    return load_config(home)


def test_each_setting_that_is_otherwise_is_named_with_both_values(tmp_path: Path) -> None:
    before = make_config(tmp_path)
    changed = PROVIDER.replace('vcpu_hour = "0.02"', 'vcpu_hour = "0.03"') + '[node]\nlisten = ["/ip4/1.2.3.4/tcp/1"]\n'
    assert find_differences(before, make_config(tmp_path, changed)) == (
        Difference("node.listen", '["/ip4/0.0.0.0/tcp/0"]', '["/ip4/1.2.3.4/tcp/1"]', is_live=False),
        Difference("provider.prices.vcpu_hour", '"0.02"', '"0.03"', is_live=True),
    )


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        ('interval = "2s"', 'interval = "2s"\nmax_duration = "1d"'),
        ('memory = "2GiB"', 'memory = "2048MiB"'),
        ('vcpu_hour = "0.02"', 'vcpu_hour = "0.0200"'),
        ('interval = "2s"', 'interval = "2s"\nquote_ttl = "30s"'),
    ],
)
def test_how_a_value_is_written_makes_no_difference(tmp_path: Path, written: str, otherwise: str) -> None:
    assert written in PROVIDER
    before, after = make_config(tmp_path), make_config(tmp_path, PROVIDER.replace(written, otherwise))
    assert find_differences(before, after) == () and settings_hash_of(before) == settings_hash_of(after)


def test_the_hash_is_of_every_setting_but_the_places_and_secrets_of_a_host(tmp_path: Path) -> None:
    before = settings_hash_of(make_config(tmp_path / "a"))
    assert settings_hash_of(make_config(tmp_path / "b")) == before, "two hosts that are declared alike"
    local = '[node]\ndatabase_url = "postgresql://u:p@db/x"\ndata_dir = "/srv"\npassword_file = "/p"\n'
    assert settings_hash_of(make_config(tmp_path / "c", PROVIDER + local)) == before
    assert settings_hash_of(make_config(tmp_path / "d", PROVIDER + "[node]\ndht = false\n")) != before
    assert settings_hash_of(make_config(tmp_path / "e", PROVIDER.replace('"0.02"', '"0.03"'))) != before
    local_names = {one.path for one in settings() if one.is_local}
    assert local_names == {
        "node.data_dir", "node.database_url", "node.password_file", "chain.manifest", "chain.rpc_url"
    }  # fmt: skip


def test_a_section_that_is_gone_differs_in_each_of_its_settings(tmp_path: Path) -> None:
    promised = make_config(tmp_path, PROVIDER + "[provider.sla]\navailability = 0.99\nrefund = 0.1\n")
    found = find_differences(promised, make_config(tmp_path))
    assert found == (
        Difference("provider.sla.availability", "0.99", "", is_live=True),
        Difference("provider.sla.refund", "0.1", "", is_live=True),
    )
    gone = {one.name for one in find_differences(promised, make_config(tmp_path, '[chain]\nmanifest = "chain.json"\n'))}
    assert {"provider.owner", "provider.sla.refund", "provider.share.vcpus"} <= gone
