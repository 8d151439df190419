"""What other nodes say is cut to what a record may hold."""

from __future__ import annotations

from typing import Any

import pytest

from metering.codec import encode
from metering.refusal import Refusal
from tests.make.records import LEASE_ID
from tests.make.values import address_of
from xnode.errors import Permanent
from xnode.node.effects import LeaseReport
from xnode.peers.answer import read_refusal
from xnode.peers.call import call, make_news
from xnode.ports.net import Peer, RpcRefused

LONG = "\x1b[2J" + "x" * 1_000_000


class Refusing:
    """xnode.ports.Net and its clock: a peer that refuses everything in many words."""

    async def call(self, *_request: object) -> bytes:
        raise RpcRefused(encode(Refusal(LONG, LONG)))

    def now_ns(self) -> int:
        return 0


def test_news_of_a_megabyte_are_cut() -> None:
    report = LeaseReport(LEASE_ID, "ending", "exit_code", LONG, 2**63, None, LONG)
    news = make_news("", address_of(1), report)
    assert len(news.end_detail) == 500 and len(news.end_code) == 64 and news.exit_code is None
    assert "\x1b" not in news.end_detail + news.end_code


def test_news_of_an_honest_provider_stay_as_they_are() -> None:
    report = LeaseReport(LEASE_ID, "ending", "exit_code", "status 3", 3, None, "job")
    news = make_news("", address_of(1), report)
    assert (news.end_detail, news.exit_code, news.end_code) == ("status 3", 3, "job")


async def test_refusals_of_a_megabyte_are_cut() -> None:
    peer: Any = Refusing()
    with pytest.raises(Permanent) as refused:
        await call(peer, peer, Peer(address_of(1)), "quote.request", b"")
    assert len(str(refused.value)) < 1_000 and len(refused.value.reason_code) == 64
    said = read_refusal(RpcRefused(encode(Refusal(LONG, LONG))))
    assert len(said.code) == 64 and len(said.detail) == 500 and said.detail.startswith("?[2J")
