"""Stake, capacity, credits and a provider's record, by the program itself on a devnet of its own."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio

from metering.units import Amount
from tests.make.verifiers import Verifiers
from tests.xnode.chain.devchain import other_owner
from tests.xnode.cli.conftest import Run
from tests.xnode.cli.provider import Provider
from xnode.chain.node.json_rpc import JsonRpc
from xnode.cli.stake.request import YES_DEFAULT, YES_JAIL, YES_LEASED
from xnode.control.server import Method
from xnode.control.views import Prices
from xnode.errors import ExitCode
from xnode.home import Home
from xnode.text.amount import OPENX
from xnode.text.hex import to_hex

pytestmark = [pytest.mark.chain, pytest.mark.slow]


@pytest.fixture
def provider(xnode_here: Run, home: Home, manifest: str, password: str) -> Provider:
    return Provider(xnode_here, home, manifest, password)


def test_stake_goes_in_and_thaws_out(provider: Provider) -> None:
    assert provider.ask("provider", "stake")["staked"] == "0"
    assert provider.ask("provider", "stake", "50")["staked"] == "50"
    assert "wallet has 9950 OPENX" in provider.refuse("provider", "stake", "100000", code=ExitCode.FUNDS)
    assert "only 50 OPENX are staked" in provider.refuse("provider", "unstake", "51", code=ExitCode.FUNDS)
    assert "nothing thaws" in provider.refuse("provider", "unstake", "--withdraw", code=ExitCode.USAGE)
    answer = provider.ask("provider", "unstake", "20")
    assert (answer["staked"], answer["thawing"]) == ("30", "20")
    provider.pass_time(60)
    answer = provider.ask("provider", "unstake", "--withdraw")
    assert (answer["staked"], answer["thawing"]) == ("30", "0")
    assert "30 OPENX, after a thaw of " in provider.run("provider", "stake").stdout


def test_under_another_owner_stake_leaves_with_a_warning_and_none_goes_in(provider: Provider) -> None:
    provider.run("provider", "stake", "50")

    async def run_all(rpc: JsonRpc, _verifiers: Verifiers) -> None:
        async with other_owner(rpc, provider.deployment.contracts.payment_escrow):
            refused = await trio.to_thread.run_sync(
                lambda: provider.refuse("provider", "stake", "1", code=ExitCode.FAILED)
            )
            assert "is owned by another than the timelock" in refused
            done = await trio.to_thread.run_sync(provider.run, "provider", "unstake", "20")
            assert "warning: payment_escrow" in done.stderr and "is owned by another" in done.stderr

    provider.with_verifiers(run_all)
    assert provider.ask("provider", "stake")["thawing"] == "20"


def test_credits_are_minted_held_by_stake_and_given_back(provider: Provider) -> None:
    assert "no verified capacity" in provider.refuse("provider", "mint", "1")
    assert "xnode provider mint AMOUNT" in provider.refuse("provider", "burn", "1", code=ExitCode.FUNDS)
    nothing = provider.ask("provider", "capacity")
    assert not nothing["in_force"] and nothing["challenge"] is None
    assert "verified" in provider.run("provider", "capacity").stdout
    assert "class not found" in provider.refuse(
        "provider", "capacity", "request", "--class", "tpu=1", code=ExitCode.USAGE
    )
    provider.verify("cpu=2")
    known = provider.ask("provider", "capacity")
    assert known["in_force"] and known["cpu_units"] == "2" and len(known["history"]) == 1
    assert {row["name"]: row["verified"] for row in known["classes"]} == {"cpu": 2, "gpu": 0}

    assert "xnode provider stake 0.5" in provider.refuse("provider", "mint", "5")
    provider.run("provider", "stake", "2")
    minted = provider.ask("provider", "mint", "20")
    assert (minted["outstanding"], minted["limit"], minted["mintable"]) == ("20", "48", "0")
    assert "collateral" in provider.run("provider", "mint").stderr + provider.run("provider", "mint").stdout
    assert "only 0 OPENX can be unstaked" in provider.refuse("provider", "unstake", "1")
    assert provider.ask("provider", "stake")["holds"] == [
        {"amount": "2", "why": "are collateral of tCPU outstanding (`provider mint` shows them)"}
    ]
    provider.run("provider", "stake", "100")
    assert "at most 28 tCPU" in provider.refuse("provider", "mint", "29")
    assert provider.ask("provider", "mint", "all", "--to", "0x" + "11" * 20)["outstanding"] == "48"
    assert "the wallet has 20 tCPU" in provider.refuse("provider", "burn", "21", code=ExitCode.FUNDS)
    nobody = "0x" + "00" * 19 + "01"
    refused = provider.refuse("provider", "burn", "1", "--at", nobody, code=ExitCode.NOT_FOUND)
    assert "not a registered provider and owes nothing" in refused and nobody in refused
    burned = provider.ask("provider", "burn", "all")
    assert (burned["outstanding"], burned["mintable"]) == ("28", "20")
    assert provider.ask("provider", "unstake", "all")["staked"] == "2.8"
    assert "is not a credit" in provider.refuse("provider", "mint", "1", "--asset", "OPENX", code=ExitCode.USAGE)


def test_who_sells_for_credits_asks_one_for_an_hour(provider: Provider, manifest: str) -> None:
    provider.home.config.unlink()
    provider.run("provider", "init", "--chain", manifest, "--asset", "tcpu")
    config = provider.home.config.read_text()
    assert 'asset = "tCPU"' in config and 'vcpu_hour = "1"' in config and 'memory_gib_hour = "0"' in config


def test_credits_are_deposited_like_any_asset(provider: Provider) -> None:
    provider.verify("cpu=1")
    provider.run("provider", "stake", "10")
    provider.run("provider", "mint", "5")
    answer = provider.ask("pay", "deposit", "4", "--asset", "tCPU", "--from", provider.owner)
    assert (answer["asset"], answer["deposited"], answer["node_may_use"]) == ("tCPU", "4", "4")
    assert provider.ask("pay", "withdraw", "1", "--asset", "tCPU", "--from", provider.owner)["deposited"] == "3"
    rows = {row["asset"]: row for row in provider.ask("pay", "balance", "--from", provider.owner)["assets"]}
    assert (rows["tCPU"]["wallet"], rows["tCPU"]["deposited"]) == ("2", "3")


def test_a_vanished_minters_stake_pays_for_its_credits(provider: Provider) -> None:
    provider.verify("cpu=1")
    provider.run("provider", "stake", "10")
    provider.run("provider", "mint", "20")
    redeem = ("pay", "redeem", provider.owner, "20", "--from", provider.owner)
    assert "can serve all it sold" in provider.refuse(*redeem)
    provider.pass_time(86_400)
    # Capacity has lapsed, and the grace begins.
    assert provider.counted_stake() == Amount(10 * OPENX)
    assert re.search(r"cannot serve 20 tCPU of what it sold, and has until \d{4}", provider.refuse(*redeem))
    provider.pass_time(40 * 86_400)
    assert "no verified capacity" in provider.refuse("provider", "mint", "1")
    assert "expired at" in provider.run("provider", "capacity").stdout
    assert provider.ask("provider", "mint")["is_defaulted"]
    # Of the ten two are the holders' now, who may take them at once: of a provider in default nothing counts.
    assert provider.counted_stake() == Amount(0)
    assert "the wallet has 20 tCPU" in provider.refuse(*redeem[:3], "21", *redeem[4:], code=ExitCode.FUNDS)
    answer = provider.ask(*redeem)
    assert (answer["paid"], answer["outstanding"], answer["staked"]) == ("2", "0", "8")


def test_a_challenge_of_less_than_the_node_has_leased_is_not_paid_for(
    provider: Provider, serve: Callable[[Mapping[str, Method]], None]
) -> None:
    async def status(_params: dict[str, Any]) -> dict[str, Any]:
        prices = {name: "1" for name in Prices.__struct_fields__}
        hosting = {"vcpu_milli": 3000, "memory_bytes": 1, "disk_bytes": 1, "gpus": 0, "gpu_model": ""}
        known = {"node": "0x", "provider": "0x", "registered": True, "asset": "OPENX", "region": "", "prices": prices}
        return {**known, "capacity": hosting, "free": hosting, "leased": hosting}

    serve({"provider.status": status})
    provider.enlist_verifiers()
    refused = provider.refuse("provider", "capacity", "request", "--class", "cpu=2", code=ExitCode.CONFLICT)
    assert "leases have 3 vCPUs now, and only 2 would be verified" in refused
    assert provider.ask("provider", "capacity")["challenge"] is None
    answer = provider.ask("provider", "capacity", "request", "--class", "cpu=2", YES_LEASED)
    assert answer["challenge"]["declared"] == {"cpu": 2}


def test_a_class_that_this_host_has_no_device_for_is_not_paid_for(provider: Provider) -> None:
    provider.enlist_verifiers()
    refused = provider.refuse("provider", "capacity", "request", "--class", "gpu=1", code=ExitCode.CONFLICT)
    assert "1 GPU declared, and this host has no GPU" in refused
    assert provider.ask("provider", "capacity")["challenge"] is None
    answer = provider.ask("provider", "capacity", "request", "--class", "gpu=1", YES_JAIL)
    assert answer["challenge"]["declared"] == {"gpu": 1}


def test_a_failed_challenge_jails_and_one_passed_ends_it(provider: Provider) -> None:
    provider.enlist_verifiers()
    provider.run("provider", "capacity", "request", "--class", "cpu=2")
    assert "is open already" in provider.refuse(
        "provider", "capacity", "request", "--class", "cpu=2", code=ExitCode.CONFLICT
    )
    assert provider.ask("provider", "capacity")["challenge"]["stage"] == "requested"
    provider.with_verifiers(lambda _rpc, verifiers: verifiers.judge(provider.address, passed=False))
    assert provider.ask("provider", "capacity")["jailed"]
    assert "nothing: jailed, because" in provider.run("provider", "capacity").stdout, "no time is known"
    provider.verify("cpu=2")
    assert not provider.ask("provider", "capacity")["jailed"]


def test_a_provider_becomes_a_verifier_and_leaves(provider: Provider) -> None:
    assert not provider.ask("provider", "verifier", "status")["is_verifier"]
    shown = provider.run("provider", "verifier", "status").stdout
    assert "0 verifiers, too few to decide" in shown
    provider.run("provider", "stake", "50")
    told = provider.run("provider", "verifier", "enlist")
    assert "pledging 100 OPENX" in told.stderr
    answer = provider.ask("provider", "verifier", "status")
    assert (answer["is_verifier"], answer["pledged"], answer["verifiers"]) == (True, "100", 1)
    assert "is a verifier already" in provider.refuse("provider", "verifier", "enlist", code=ExitCode.CONFLICT)
    answer = provider.ask("provider", "stake")
    assert (answer["staked"], answer["can_leave"], answer["holds"]) == ("50", "50", [])
    assert (answer["pledge"]["staked"], answer["pledge"]["can_leave"]) == ("100", "0")
    assert "100 OPENX, 100 OPENX held for its verdicts" in provider.run("provider", "stake").stdout
    assert "only 0 OPENX can be unstaked" in provider.refuse("provider", "unstake", "1", "--pledge")
    left = provider.run("provider", "verifier", "leave", "-o", "json")
    assert "is held until" in left.stderr and "unstake all --pledge" in left.stderr
    answer = json.loads(left.stdout)
    assert (answer["is_verifier"], answer["pledged"]) == (False, "100")
    again = provider.refuse("provider", "verifier", "enlist", code=ExitCode.CONFLICT)
    assert "left as a verifier lately" in again
    assert provider.ask("provider", "stake")["pledge"]["staked"] == "100", "nothing more was pledged"
    assert "no fees wait" in provider.run("provider", "verifier", "fees").stderr


def test_who_would_be_one_verifier_too_many_pledges_nothing(provider: Provider) -> None:
    async def fill(rpc: JsonRpc, _verifiers: Verifiers) -> None:
        # As in tests/xnode/chain/intents/test_verification.py.
        registry = to_hex(provider.deployment.contracts.verifier_registry)
        for slot, value in ((6, 512), (9, 512 << 128)):
            await rpc.write("anvil_setStorageAt", registry, f"0x{slot:064x}", f"0x{value:064x}")

    provider.run("provider", "stake", "50")
    provider.with_verifiers(fill)
    told = provider.refuse("provider", "verifier", "enlist", code=ExitCode.CONFLICT)
    assert "the list of verifiers is full, and nothing was pledged" in told
    assert provider.ask("provider", "stake")["pledge"]["staked"] == "0"


def test_a_command_that_was_cut_off_is_told_before_the_same_is_done_again(
    provider: Provider, xnode: Run, password: str
) -> None:
    def cut_off(point: str, *arguments: str) -> None:
        done = xnode(*arguments, env={"ETH_PASSWORD": password, "XNODE_DIE_AT": point})
        assert done.returncode == -signal.SIGKILL, done.stderr

    cut_off("tx_saved", "provider", "stake", "50")
    provider.run("provider", "stake", "50")
    assert provider.ask("provider", "stake")["staked"] == "50", "what was never sent is no matter"
    cut_off("tx_marked", "provider", "unstake", "30")
    told = provider.refuse("provider", "unstake", "30", code=ExitCode.CONFLICT)
    assert told.startswith("error: unstake: a command that was cut off had sent this: transaction 0x"), told
    assert "hint: `xnode provider stake` shows whether it did what you want" in told
    assert provider.ask("provider", "stake")["thawing"] == "30", "once"
    provider.run("provider", "unstake", "20", "--yes-restart-thaw")
    assert provider.ask("provider", "stake")["thawing"] == "50", "and again when it is asked for again"
    # Of the two transactions of a stake only the allowance was sent: no stake moved.
    cut_off("tx_marked", "provider", "stake", "7")
    told = provider.refuse("provider", "stake", "7", code=ExitCode.CONFLICT)
    assert "had sent this (the allowance only, which moves nothing): transaction 0x" in told
    assert not list((provider.home.data / "commands").iterdir())


def test_a_pledge_is_taken_out_apart_from_other_stake(provider: Provider) -> None:
    provider.run("provider", "stake", "50")
    provider.run("provider", "verifier", "enlist")
    provider.run("provider", "verifier", "leave")
    provider.pass_time(61)
    answer = provider.ask("provider", "unstake", "all", "--pledge")
    assert (answer["pledge"]["staked"], answer["pledge"]["thawing"], answer["thawing"]) == ("0", "100", "0")
    assert "nothing thaws" in provider.refuse("provider", "unstake", "--withdraw", code=ExitCode.USAGE)
    provider.pass_time(10)
    assert "pledge thawing       100 OPENX until " in provider.run("provider", "stake").stdout
    answer = provider.ask("provider", "unstake", "--withdraw", "--pledge")
    assert (answer["staked"], answer["pledge"]["staked"], answer["pledge"]["thawing"]) == ("50", "0", "0")


def test_a_wallet_that_is_no_provider_pays_for_nothing_that_only_a_provider_may_do(provider: Provider) -> None:
    stranger = provider.run("wallet", "new", "stranger").stdout.strip()
    provider.run("devnet", "fund", stranger)
    for command in (
        ("verifier", "enlist"),
        ("stake", "1"),
        ("capacity", "request", "--class", "cpu=1", "--yes-jail", "--yes-less-than-leased"),
    ):
        refused = provider.refuse("provider", *command, "--from", stranger, code=ExitCode.NOT_FOUND)
        assert "is not a registered provider" in refused
    assert "is not a registered provider" in provider.run("provider", "capacity", "--of", stranger).stderr
    redeemed = provider.refuse("pay", "redeem", stranger, "1", "--from", stranger, code=ExitCode.NOT_FOUND)
    assert "is not a registered provider and owes nothing" in redeemed
    answer = json.loads(provider.run("provider", "stake", "--from", stranger, "-o", "json").stdout)
    assert (answer["staked"], answer["pledge"]["staked"]) == ("0", "0")


def test_enlisting_without_money_for_the_pledge_says_what_is_missing(provider: Provider) -> None:
    provider.run("provider", "stake", "9950")
    refused = provider.refuse("provider", "verifier", "enlist", code=ExitCode.FUNDS)
    assert "this takes 100 OPENX" in refused


def test_a_record_is_read_from_chain(provider: Provider) -> None:
    provider.run("provider", "stake", "7")
    answer = provider.ask("provider", "reputation")
    assert (answer["provider"], answer["stake"], answer["faults"]) == (provider.owner, "7", 0)
    assert [row["asset"] for row in answer["assets"]] == ["OPENX", "tGPU", "tCPU"]
    assert answer["node_since_s"] > 0 and "node key since" in provider.run("provider", "reputation").stdout
    assert "none" in provider.run("provider", "reputation", "0x" + "22" * 20).stdout


def test_the_hash_of_the_hardware_profile_is_on_chain_from_the_first(provider: Provider) -> None:
    answer = provider.ask("provider", "profile")
    assert answer["is_published"] and answer["profile"]["memory_bytes"] > 0
    assert "the same" in provider.run("provider", "profile").stdout
    assert "publishing" not in provider.run("provider", "profile", "--publish").stderr


def test_a_provider_whose_capacity_shrank_has_a_grace_for_what_it_cannot_serve(provider: Provider) -> None:
    provider.verify("cpu=2")
    provider.run("provider", "stake", "20")
    provider.run("provider", "mint", "40")
    smaller = ("provider", "capacity", "request", "--class", "cpu=1")
    assert "40 tCPU are outstanding" in provider.refuse(*smaller, code=ExitCode.CONFLICT)
    assert "what is leased now is not known" in provider.refuse(*smaller, YES_DEFAULT, code=ExitCode.CONFLICT)
    assert provider.ask("provider", "capacity")["challenge"] is None
    provider.verify("cpu=1", flags=(YES_DEFAULT, YES_LEASED))
    redeem = ("pay", "redeem", provider.owner, "all", "--from", provider.owner)
    assert re.search(r"cannot serve 16 tCPU of what it sold, and has until \d{4}", provider.refuse(*redeem))
    provider.pass_time(10)
    shown = provider.ask("provider", "mint")
    assert (shown["is_defaulted"], shown["shortfall"], shown["redeemable"]) == (True, "16", "16")
    over = provider.refuse(*redeem[:3], "17", *redeem[4:], code=ExitCode.USAGE)
    assert "only 16 tCPU can be redeemed now" in over
    answer = provider.ask(*redeem)
    assert (answer["paid"], answer["outstanding"], answer["shortfall"]) == ("1.6", "24", "0")
