"""Shown receipts: what a provider showed of a lease on chain, in answer to a claim of silence or before any: an event names it,
and the calldata of its transaction holds it, with the signature."""

from __future__ import annotations

import msgspec

from metering.receipt import SignedReceipt
from metering.units import Address, Hash32
from xnode.chain.contracts import breach_prover
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_calldata
from xnode.errors import Retryable


class ShownReceipt(msgspec.Struct, frozen=True):
    """One that the contract took as `provider`'s, in this transaction. signed: None where the calldata holds it in no form that
    we know, as of a contract that packs it."""

    lease_id: Hash32
    provider: Address
    number: int
    final: bool
    block_number: int
    tx_hash: Hash32
    signed: SignedReceipt | None


async def read_shown(rpc: JsonRpc, manifest: Manifest, lease_id: Hash32) -> tuple[ShownReceipt, ...]:
    """Those of a lease in the order of the chain. Raises Retryable when a chain node does not keep an old transaction."""
    judge, topics = manifest.contracts.breach_prover, (breach_prover.RECEIPT_SHOWN.topic, lease_id)
    found: list[ShownReceipt] = []
    for log in await read_history(rpc, judge, topics, manifest.deployed_at_block):
        event = breach_prover.RECEIPT_SHOWN.decode(log)
        data = await rpc.ask(ask_calldata(log.tx_hash))
        if data is None:
            raise Retryable(
                f"chain node {rpc.where} does not have transaction 0x{log.tx_hash.hex()} any more",
                hint="ask one that keeps old transactions: --rpc-url",
            )
        # What stands there also in vain, or of another lease, was not taken.
        named = [
            one
            for one in breach_prover.find_answers(data)
            if (one.receipt.lease_id, one.receipt.number, one.receipt.final) == (lease_id, event.number, event.final)
        ]
        signed = named[0] if named else None
        found.append(
            ShownReceipt(lease_id, event.provider, event.number, event.final, log.block_number, log.tx_hash, signed)
        )
    return tuple(found)
