"""Origins: each setting with the place it came from, and nothing of it that may be secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.xnode.config.test_settings import PROVIDER
from xnode.config.catalog import settings
from xnode.config.load import load_config
from xnode.config.origins import list_origins
from xnode.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.config.write_text(PROVIDER)
    return home


def origins(home: Home, effective: bool = False) -> dict[str, tuple[str, str]]:
    return {one.name: (one.value, one.place) for one in list_origins(load_config(home), effective)}


def test_only_what_is_written_is_declared_and_the_environment_wins(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNODE_PROVIDER__PRICES__VCPU_HOUR", "0.5")
    monkeypatch.setenv("xnode_node__disk_budget", "3GiB")
    found = origins(home)
    assert found["provider.prices.vcpu_hour"] == ('"0.5"', "environment XNODE_PROVIDER__PRICES__VCPU_HOUR")
    assert found["node.disk_budget"] == ('"3GiB"', "environment XNODE_NODE__DISK_BUDGET")
    assert found["provider.prices.memory_gib_hour"] == ('"0.005"', "file")
    assert "node.listen" not in found and "submitter.quotes" not in found


def test_a_section_in_one_variable_says_where_each_of_its_settings_is_from(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNODE_NODE", '{"dht": false}')
    assert origins(home)["node.dht"] == ("false", "environment XNODE_NODE__DHT")


def test_what_is_in_effect_has_every_setting_of_the_nodes_roles(home: Home) -> None:
    found = origins(home, effective=True)
    assert set(found) == {one.path for one in settings() if one.section != "provider.sla"}
    assert found["provider.interval"] == ('"2s"', "file") and found["provider.quote_ttl"] == ('"30s"', "default")
    assert found["node.data_dir"] == (f'"{home.data}"', "default"), "as it is resolved"
    home.config.write_text('[chain]\nmanifest = "chain.json"\n')
    assert not [name for name in origins(home, effective=True) if name.startswith("provider")]


@pytest.mark.parametrize(
    ("section", "name", "value", "shown"),
    [
        ("node", "database_url", "postgresql+psycopg://u:s3cret@db/x", "postgresql+psycopg://u:***@db/x"),
        (
            "node",
            "database_url",
            "postgresql+psycopg://u@[::1]:5/x?password=s3cret",
            "postgresql+psycopg://u@[::1]:5/x?***",
        ),
        ("chain", "rpc_url", "https://rpc.example:8/v3/s3cret", "https://rpc.example:8/***"),
        ("chain", "rpc_url", "https://s3cret@rpc.example/?key=s3cret", "https://rpc.example/***"),
        ("chain", "rpc_url", "http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("chain", "rpc_url", "http://h:s3cret/", "***"),
    ],
)
@pytest.mark.parametrize("effective", [False, True])
def test_what_may_be_secret_is_not_shown(
    home: Home, section: str, name: str, value: str, shown: str, effective: bool
) -> None:
    home.config.write_text(f"{PROVIDER}[node]\n".replace(f"[{section}]", f'[{section}]\n{name} = "{value}"'))
    found = origins(home, effective)
    assert found[f"{section}.{name}"] == (f'"{shown}"', "file")
    assert "s3cret" not in str(found)
