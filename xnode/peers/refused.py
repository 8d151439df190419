"""Refused: what this node refuses its peers, each in the log, and those who wanted work done counted by reason."""

from __future__ import annotations

from collections import Counter

import structlog

from metering.codec import decode
from metering.refusal import Refusal
from metering.units import Address
from xnode.node.message import LEASE_OPEN, QUOTE_REQUEST
from xnode.ports.net import RpcHandler, RpcRefused
from xnode.text.hex import to_hex

ASKS_FOR_WORK = (QUOTE_REQUEST, LEASE_OPEN)
"""Methods whose refusal turns a job away. A verifier, or a submitter that follows its lease, brings none."""

log = structlog.get_logger()


def count_refused(refusals: Counter[str], method: str, handler: RpcHandler) -> RpcHandler:
    """The handler, whose refusals are logged, and counted in `refusals` by their code when they turn a job away."""

    async def counted(caller: Address, body: bytes) -> bytes:
        try:
            return await handler(caller, body)
        except RpcRefused as refused:
            code = decode(refused.body, Refusal).code
            if method in ASKS_FOR_WORK:
                refusals[code] += 1
            log.info("refused", method=method, peer=to_hex(caller), code=code)
            raise

    return counted
