"""What doctor judges without looking at a host."""

from __future__ import annotations

from xnode.cli.node.doctor import judge_user


def test_only_root_can_run_a_provider() -> None:
    assert judge_user(0).verdict == "ok"
    other = judge_user(1000)
    assert (other.verdict, other.detail) == ("fail", "user 1000 is not root")
    assert "as root" in other.hint
