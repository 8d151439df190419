"""Reveals: what AnswerReveals asks of this node, and what it sends there (implements ports.reveals.RevealChain)."""

from __future__ import annotations

from typing import get_args

from metering.capacity import ElementProof
from metering.units import Address, Hash32
from xnode.chain.contracts import answer_reveals
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_latest, ask_logs
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import TxCall
from xnode.errors import Permanent, Retryable
from xnode.ports.reveals import Demand, DemandedLeaf, DemandStage
from xnode.text.hex import to_hex

SPARE_SENDS = 6
"""Transactions of the node's key that a flood of demands leaves to leases and their money: there is a day to answer."""

_STAGES: tuple[DemandStage, ...] = get_args(DemandStage)


class RevealClient:
    """ports.reveals.RevealChain through one chain node and the node's key."""

    def __init__(self, rpc: JsonRpc, reveals: Address, transactor: Transactor) -> None:
        self._rpc, self._address, self._transactor = rpc, reveals, transactor

    async def read_time(self) -> int:
        return (await self._rpc.ask(ask_latest())).timestamp

    async def count_demands(self) -> int:
        return await self._rpc.view(self._address, answer_reveals.DEMAND_COUNT)

    async def read_demands(self, first: int, last: int) -> tuple[Demand, ...]:
        numbers = range(first, last + 1)
        rows = await self._rpc.view_each(self._address, answer_reveals.DEMAND_OF, [(number,) for number in numbers])
        return tuple(
            Demand(number, row.provider, _STAGES[row.stage], row.deadline, row.at_block)
            for number, row in zip(numbers, rows, strict=True)
        )

    async def read_leaves(self, demand: Demand) -> tuple[Hash32, tuple[DemandedLeaf, ...]]:
        topics = (answer_reveals.DEMANDED.topic, demand.number.to_bytes(32, "big"))
        found = await self._rpc.ask(ask_logs((self._address,), topics, demand.at_block, demand.at_block))
        if not found:
            raise Retryable(f"chain node {self._rpc.where} does not show the log of demand {demand.number} yet")
        told = answer_reveals.DEMANDED.decode(found[0])
        return told.challenge_id, tuple(DemandedLeaf(*leaf) for leaf in told.leaves)

    async def reveal(self, demand: Demand, leaves: tuple[DemandedLeaf, ...], proofs: tuple[ElementProof, ...]) -> None:
        rows = [(leaf.device, leaf.index, leaf.n, leaf.seed, leaf.root) for leaf in leaves]
        data = answer_reveals.REVEAL.encode(demand.number, rows, proofs)
        gas_floor = answer_reveals.REVEAL_GAS + answer_reveals.REVEAL_LEAF_GAS * len(leaves)
        intent = f"capacity/reveal/{demand.number}"
        call = TxCall(self._address, data, gas_floor=gas_floor)
        sent = await self._transactor.send(intent, call, spare=SPARE_SENDS)
        if not sent.ok:
            raise Permanent(f"{intent} reverted in transaction {to_hex(sent.tx_hash)}", code="reveal_reverted")
