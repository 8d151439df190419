"""What doctor judges without looking at a host."""

from __future__ import annotations

from xnode.cli.node.doctor import judge_daemon, judge_user


def test_only_root_can_run_a_provider() -> None:
    assert judge_user(0).verdict == "ok"
    other = judge_user(1000)
    assert (other.verdict, other.detail) == ("fail", "user 1000 is not root")
    assert "as root" in other.hint


def test_a_daemon_without_peers_or_registration_is_not_called_well() -> None:
    status = {"pid": 1, "peers": 0, "offers": 0, "ready": {}, "hints": ["no peer is connected: check node.bootstrap"]}
    up, lonely = judge_daemon(status)
    assert (up.verdict, lonely.verdict) == ("ok", "warn")
    assert (lonely.detail, lonely.hint) == ("no peer is connected", "check node.bootstrap")
    (only,) = judge_daemon({**status, "hints": []})
    assert only.verdict == "ok"
