"""What doctor judges without looking at a host."""

from __future__ import annotations

import msgspec
import pytest

from xnode.cli.node.doctor import judge_addresses, judge_daemon
from xnode.cli.terminal.brief import brief_gas
from xnode.control.views import Gas, SettingsView


def test_a_daemon_without_peers_or_registration_is_not_called_well() -> None:
    status = {"pid": 1, "peers": 0, "offers": 0, "ready": {}, "hints": ["no peer is connected: check node.bootstrap"]}
    up, lonely = judge_daemon(status)
    assert (up.verdict, lonely.verdict) == ("ok", "warn")
    assert (lonely.detail, lonely.hint) == ("no peer is connected", "check node.bootstrap")
    (only,) = judge_daemon({**status, "hints": []})
    assert only.verdict == "ok"


@pytest.mark.parametrize(
    ("transactions", "words"),
    [
        (1, "about 1 transaction"),
        (99_999, "about 99999 transactions"),
        (26_666_666_666, "more than 100,000 transactions"),
    ],
)
def test_gas_for_more_transactions_than_anybody_sends_is_not_counted(transactions: int, words: str) -> None:
    assert brief_gas(Gas(str(10**18), transactions)).endswith(f"enough for {words}")


def test_gas_is_said_in_the_chains_coin() -> None:
    status = {
        "pid": 1,
        "peers": 1,
        "offers": 0,
        "gas": {"wei": str(10**17), "transactions": 7, "is_low": True},
        "node": "0x1",
    }
    _, gas = judge_daemon(status)
    assert gas.verdict == "warn" and "0.1 of the chain's coin, enough for about 7 transactions" in gas.detail


@pytest.mark.parametrize(
    ("listen", "announce", "verdicts"),
    [
        ("/ip4/0.0.0.0/tcp/0", (), []),
        ("/ip4/127.0.0.1/tcp/4001", (), ["warn"]),
        ("/ip4/127.0.0.1/tcp/4001", ("/ip4/198.51.100.7/tcp/4001",), []),
        ("/ip4/0.0.0.0/tcp/4001", ("/dns4/node.example.org/tcp/4001",), []),
        ("/ip4/0.0.0.0/tcp/4001", ("/ip4/198.51.100.7/tcp/0",), ["fail"]),
        ("/ip4/0.0.0.0/tcp/4001", ("/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"), ["fail", "fail"]),
        ("/ip4/0.0.0.0/tcp/4001", ("/ip6/::1/tcp/4001",), ["warn"]),
    ],
)
def test_an_address_that_nobody_can_dial_is_said(listen: str, announce: tuple[str, ...], verdicts: list[str]) -> None:
    found = list(judge_addresses((listen,), announce, sells=True))
    assert [one.verdict for one in found] == verdicts and all(one.hint for one in found)


@pytest.mark.parametrize(
    ("differing", "problem", "verdict", "words"),
    [
        ((), "", "ok", "declared, unchanged since 2023-11-14 "),
        (("node.listen", "node.http"), "", "warn", "the daemon runs with others: node.listen, node.http"),
        ((), "/etc/x.toml: not valid TOML", "warn", "/etc/x.toml: not valid TOML"),
    ],
)
def test_settings_that_drifted_are_named_and_others_are_dated(
    differing: tuple[str, ...], problem: str, verdict: str, words: str
) -> None:
    settings = SettingsView("/etc/x.toml", "0x" + "ab" * 32, 1_700_000_000 * 10**9, differing, problem)
    status = {"pid": 1, "peers": 1, "offers": 0, "settings": msgspec.to_builtins(settings)}
    _, found = judge_daemon(status)
    assert (found.what, found.verdict, words in found.detail) == ("settings", verdict, True)
    assert ("xnode config" in found.hint) == (verdict == "warn")
