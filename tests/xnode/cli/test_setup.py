"""Setup: a command that changes the config leaves a person's own file as it is, but for what was asked."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from tests.make.records import make_provider, make_running_lease
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from tests.xnode.cli.conftest import Run
from xnode.chain.deployment.manifest import write_manifest
from xnode.cli.app import App
from xnode.cli.node.setup import ensure_node_key, update_config
from xnode.cli.node.submitter_init import init_submitter, make_chain_table, make_node_table
from xnode.cli.provider.init import find_chain_node, find_changes, init_provider
from xnode.cli.provider.prices import CREDIT_PRICES
from xnode.config.load import check_table
from xnode.daemon import find_bootstrap
from xnode.errors import ExitCode, UserError
from xnode.home import PRIVATE_FOLDERS, Home, close_data, make_private, making_private_files
from xnode.net.identity import peer_id_text_of
from xnode.node.state import kind_of
from xnode.store.database import migrate_apart, open_database
from xnode.store.journal import Batch, Journal
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

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


def test_a_peer_to_start_from_is_kept_until_another_is_named(home: Home) -> None:
    peer, other = (f"/ip4/192.0.2.{number}/tcp/4001/p2p/16Uiu2HAm" for number in (1, 2))
    update_config(home, make_node_table((peer,)))
    assert update_config(home, make_node_table(())).node.bootstrap == (peer,)
    assert update_config(home, make_node_table((other, peer))).node.bootstrap == (other, peer)
    with pytest.raises(UserError, match="names no peer"):
        update_config(home, make_node_table(("/ip4/192.0.2.1/tcp/4001",)))


def test_a_node_starts_from_its_own_peers_then_from_the_markets_and_never_from_itself() -> None:
    secret = bytes([1]) * 32
    mine, market = "/ip4/192.0.2.1/tcp/1/p2p/A", "/ip4/192.0.2.2/tcp/1/p2p/B"
    me = f"/ip4/192.0.2.3/tcp/1/p2p/{peer_id_text_of(secret)}"
    assert find_bootstrap((mine,), (market, me, mine), secret) == (mine, market)


def test_every_folder_that_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "devnet"
    make_private(folder)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, folder.parent)] == [0o700, 0o700]


def test_what_a_node_keeps_of_jobs_is_closed_to_other_users_also_where_it_was_open(tmp_path: Path) -> None:
    data, before = tmp_path / "data", os.umask(0o022)
    try:
        for name in PRIVATE_FOLDERS:
            (data / name).mkdir(parents=True)
        (data / "xnode.db").touch()
        close_data(data)
        for url in (f"sqlite:///{data}/xnode.db", f"sqlite:///{data}/new.db"):
            with making_private_files():
                migrate_apart(url)
            open_database(url).connect()
    finally:
        os.umask(before)
    for one in (*(data / name for name in PRIVATE_FOLDERS), *data.glob("*.db*")):
        assert stat.S_IMODE(one.stat().st_mode) & 0o077 == 0, one


def test_a_node_key_that_is_gone_stops_the_command_and_is_never_replaced(tmp_path: Path) -> None:
    config = check_table(Home(tmp_path), {"chain": {"manifest": "chain.json"}})
    ensure_node_key(config)
    key, address = config.home.node_key.read_bytes(), config.home.node_address.read_text().strip()
    ensure_node_key(config)
    assert config.home.node_key.read_bytes() == key
    config.home.node_key.unlink()
    with pytest.raises(UserError, match=f"the key of node {address} is gone") as caught:
        ensure_node_key(config)
    assert caught.value.code == ExitCode.CONFLICT and "backup" in caught.value.hint
    assert not config.home.node_key.exists()
    # A person who wants to be another node says so.
    config.home.node_address.unlink()
    ensure_node_key(config)
    other = config.home.node_key.read_bytes()
    config.home.node_address.write_text(f"{address}\n")
    with pytest.raises(UserError, match=f"this home is node {address}"):
        ensure_node_key(config)
    assert config.home.node_key.read_bytes() == other


def test_doctor_tells_a_key_that_is_gone_from_one_that_never_was(xnode_here: Run, home: Home) -> None:
    def find() -> dict[str, str]:
        rows = {row["what"]: row for row in json.loads(xnode_here("doctor", "-o", "json").stdout)}
        return cast(dict[str, str], rows["node key"])

    assert (find()["verdict"], find()["detail"]) == ("warn", "not made yet")
    home.node_address.write_text("0x" + "ab" * 20 + "\n")
    gone = find()
    assert gone["verdict"] == "fail" and f"the key of node 0x{'ab' * 20} is gone" in gone["detail"]
    assert "backup" in gone["hint"]


def test_a_chain_node_is_kept_until_another_is_named_or_the_manifests_is_asked_for(tmp_path: Path) -> None:
    table = {"chain": {"rpc_url": "http://127.0.0.1:1"}}
    assert find_chain_node(table, None) == "http://127.0.0.1:1"
    assert find_chain_node(table, "") == "" == find_chain_node({}, None)
    assert find_chain_node(table, "http://127.0.0.1:2") == "http://127.0.0.1:2"
    manifest = tmp_path / "manifest.toml"
    write_manifest(manifest, MANIFEST)
    assert "rpc_url" not in make_chain_table(manifest, None)["chain"]
    assert make_chain_table(manifest, "")["chain"]["rpc_url"] == ""
    with pytest.raises(UserError, match="not an http URL"):
        make_chain_table(manifest, "localhost:8545")


def test_a_home_of_an_older_version_that_has_a_database_had_a_node_key(tmp_path: Path) -> None:
    config = check_table(Home(tmp_path), {"chain": {"manifest": "chain.json"}})
    config.home.data.mkdir()
    (config.home.data / "xnode.db").touch()
    with pytest.raises(UserError, match="is gone"):
        ensure_node_key(config)
    assert not config.home.node_key.exists()


def test_a_home_with_money_on_other_contracts_keeps_its_config(home: Home) -> None:
    lease = make_running_lease(status="settling")
    app, other = App(home, debug=False), home.folder / "other.toml"
    write_manifest(other, MANIFEST)
    home.make()
    home.data.mkdir(exist_ok=True)
    database = open_database(app.load_config().node.database_url)
    records = {(kind_of(type(one)), one.key): (one, True) for one in make_provider(lease).state.records()}
    trio.run(Journal(database).commit, Batch(records=records))
    database.dispose()
    before = home.config.read_text()
    wallet = trio.run(Keystore(home.keystore).make_new, "payer", "secret", MACHINE_ROUNDS)
    assert wallet.address
    refused = "unsettled leases and escrows on other contracts"
    with pytest.raises(UserError, match=refused) as caught:
        init_submitter(app, other, None, "payer")
    assert caught.value.code is ExitCode.CONFLICT and home.config.read_text() == before
    rest: dict[str, Any] = {"rpc_url": None, "region": None, "asset": None, "force": False, "password_file": None}
    with pytest.raises(UserError, match=refused):
        init_provider(app, other, owner="payer", **rest)
    assert home.config.read_text() == before
