"""`xnode provider capacity` of a provider that failed: no date that is not there, and the reason that its node kept."""

from __future__ import annotations

from typing import Any

import pytest

from xnode.cli.stake.capacity import draw_capacity
from xnode.cli.terminal.screen import Screen

JAILED: dict[str, Any] = {
    "provider": "0x" + "11" * 20,
    "in_force": False,
    "jailed": True,
    "in_doubt_until_s": 0,
    "tries": {"passed": 0, "failed": 1, "lapsed": 0},
    "until_s": 0,
    "lapsed_since_s": 0,
    "classes": [],
    "challenge": None,
    "failure": None,
    "history": [],
    "fee": "5",
    "device_fee": "0.025",
    "validity_s": 3600,
}


def read_shown(capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    draw_capacity(Screen("table"), {**JAILED, **changes})
    return capsys.readouterr().out


def test_who_fails_the_first_challenge_is_jailed_without_a_date(capsys: pytest.CaptureFixture[str]) -> None:
    shown = read_shown(capsys)
    assert "nothing: jailed, because the last challenge was failed" in shown and "failed because" not in shown
    assert "nothing: jailed since 20" in read_shown(capsys, lapsed_since_s=1_700_000_000)
    assert "nothing yet" in read_shown(capsys, jailed=False)


def test_the_reason_that_the_node_kept_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    failure = {"challenge_id": "0x" + "ab" * 32, "drawn_at_s": 1_700_000_000, "reason": "GPU 0: there is none"}
    shown = read_shown(capsys, failure=failure)
    assert "GPU 0: there is none (challenge 0xabab" in shown and "drawn 2023-11-14" in shown
