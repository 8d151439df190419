"""Transactor: one key's transactions. One intent never becomes two, whatever dies in between."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog
import trio

from metering.eip712 import keccak
from metering.units import Address, Hash32
from xnode.backoff import Backoff
from xnode.chain.node.answers import Receipt
from xnode.chain.node.fees import GWEI, Fees, bound_fees, raise_fees, read_fees
from xnode.chain.node.json_rpc import MAX_BATCH_CALLS, JsonRpc, NodeBehind, NodeRefused
from xnode.chain.node.questions import ask_balance, ask_gas, ask_head, ask_nonce, ask_receipt, send_raw
from xnode.chain.send.nonces import MAX_POOLED, choose_nonce, list_fillers, list_moves
from xnode.chain.send.tx_journal import Attempt, TxCall, TxJournal, TxRecord
from xnode.chain.send.wanted import IsWanted, ask_wanted
from xnode.errors import Permanent, Retryable
from xnode.faultpoint import reach
from xnode.outage import Outage
from xnode.ports.chain import Sent
from xnode.ports.wallet import Transaction, TransactionSigner
from xnode.repeated_event import RepeatedEvent
from xnode.text.hex import checksum_address, to_hex

if TYPE_CHECKING:
    from trio_typing import TaskStatus

MAX_IN_FLIGHT = 16
"""Unmined transactions of one key: nodes promise to hold no more than this for one account."""

MAX_WATCHED = MAX_POOLED
"""Transactions of one key without an end: those that are mined and not confirmed yet, too. Should a reorganisation take all
of them out, nodes must hold them again."""

MAX_ATTEMPTS = 16
"""Spellings of one intent: 15 raises multiply the first offer by six, and the fee cap ends it earlier."""

MAX_GAS = (1 << 24) - 1
"""No transaction may use 2**24 gas or more (EIP-7825)."""

LOST_LOOKS = 3
"""How often a nonce must be seen used, deep in the chain and not by us, before its intent gets another nonce."""

FILLER_GAS = 21_000
"""Of a transaction that does nothing."""

HAND_AGAIN_S = 3.0
"""After a transaction that the node did not take: its pool was full, or it has not seen the ones before."""

STUCK_BLOCKS = 3
"""A transaction that is unmined for fewer blocks is not stuck, however slow the chain is."""

IDLE_LOOK_S = 30.0
"""With nothing in flight: how often to make sure that the chain still has all we sent."""

MAX_BACKOFF_S = 15.0
"""Between looks while the node is away: a person who restarts it should not wait longer."""

_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """confirmations: blocks, the transaction's own included, before it counts; stuck_after_s: unmined so long, it is
    offered again with a higher fee; deadline_s: how long send() waits; fee_cap: wei per gas that we never exceed."""

    confirmations: int = 1
    poll_interval_s: float = 1.0
    stuck_after_s: float = 45.0
    deadline_s: float = 180.0
    fee_cap: int = 500 * GWEI


class _Watched:
    """A record in flight, who waits for it, and when it was last handed to the node."""

    __slots__ = ("is_mined", "is_wanted", "lost_looks", "pushed_at", "record", "refused", "sent", "settled", "since")

    def __init__(self, record: TxRecord, pushed_at: float) -> None:
        self.record, self.pushed_at = record, pushed_at
        self.is_wanted: IsWanted | None = None
        self.since = trio.current_time()
        self.settled, self.lost_looks, self.is_mined = trio.Event(), 0, False
        self.refused = ""
        """What the node said when it did not take it, the last time that it was handed over."""
        self.sent: Sent | None = None


class _Plan(NamedTuple):
    """What a transaction will offer and take, and how many of the key's were mined and known when it was planned."""

    fees: Fees
    gas: int
    mined: int
    pending: int


class Transactor:
    """Sends for one key on one chain. run() must be running for send() to return."""

    def __init__(self, rpc: JsonRpc, signer: TransactionSigner, journal: TxJournal, chain_id: int, pace: Pace) -> None:
        self._rpc, self._signer, self._journal = rpc, signer, journal
        self._chain_id, self._pace = chain_id, pace
        self._lock = trio.Lock()
        self._watched: dict[str, _Watched] = {}
        self._resumed, self._planned = trio.Event(), 0
        self._wake, self._room = RepeatedEvent(), RepeatedEvent()
        self._hole: tuple[int, float] | None = None
        """The nonce that the chain waits for and nobody has sent, and since when that is seen."""

    @property
    def address(self) -> Address:
        """Who sends."""
        return self._signer.address

    @property
    def in_flight(self) -> int:
        """Transactions that are not final yet."""
        return len(self._watched)

    async def send(self, intent: str, call: TxCall, *, spare: int = 0, is_wanted: IsWanted | None = None) -> Sent:
        """The end of this intent's one transaction, which is sent unless an earlier call (or life) already has.

        spare: how many of the transactions that one key may have under way are left to others: for what comes by the hundred and
        can wait. is_wanted: asked before an optional call is sent again; one that is not wanted any more gives its place to a
        transaction that does nothing, and ends as not ok. An intent that is known keeps its first call. Raises Permanent, with
        nothing sent, when the contract refuses the call; Retryable when it could not be sent yet, or is not confirmed within
        the deadline: ask again then.
        """
        with trio.move_on_after(self._pace.deadline_s):
            await self._resumed.wait()
            taken = await self._take_up(intent, call, spare)
            if isinstance(taken, Sent):
                return taken
            taken.is_wanted = is_wanted
            await taken.settled.wait()
            assert taken.sent is not None
            return taken.sent
        raise Retryable(
            f"{intent} is not confirmed after {self._pace.deadline_s:g} s", hint="it is still watched: ask again"
        )

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watches everything in flight until cancelled, first of all what an earlier life left unfinished."""
        for record in await self._journal.load_pending():
            self._watch(record, pushed_at=-inf)
        self._resumed.set()
        task_status.started()
        poll_s = self._pace.poll_interval_s
        backoff = Backoff(poll_s, max(poll_s, MAX_BACKOFF_S))
        pauses, outage = backoff.pauses(), Outage("chain transactions")
        while True:
            pause_s = poll_s
            try:
                await self._look()
                outage.over()
                pauses = backoff.pauses()
            except (Retryable, Permanent) as error:
                # Also a Permanent must not end us: a person may fix it meanwhile.
                outage.failed(str(error))
                pause_s = next(pauses)
            except Exception as error:
                # The supervisor's edge: a bug here must not end the node and its leases.
                if not outage.reason:
                    log.exception("watching our transactions hit a bug")
                outage.failed(f"internal error: {type(error).__name__}")
                pause_s = next(pauses)
            await self._rest(pause_s)

    async def _rest(self, delay_s: float) -> None:
        if self._watched:
            await trio.sleep(delay_s)
            return
        with trio.move_on_after(IDLE_LOOK_S):
            await self._wake.wait()

    # ---- Sending

    async def _take_up(self, intent: str, call: TxCall, spare: int) -> _Watched | Sent:
        while intent not in self._watched and self._find_room() <= spare:
            await self._room.wait()
        # Taken before anything is waited for: of all who saw the same room, only so many may have it.
        self._planned += 1
        try:
            if (known := await self._find_known(intent)) is not None:
                return known
            # Many plan at once; only then do they line up, so that nonces reach the node in order.
            plan = await self._plan(call)
            async with self._lock:
                return await self._find_known(intent) or await self._send_planned(intent, call, plan)
        finally:
            self._planned -= 1
            self._room.set()

    def _find_room(self) -> int:
        """How many more may be sent now."""
        unmined = sum(not one.is_mined for one in self._watched.values())
        return min(MAX_IN_FLIGHT - unmined, MAX_WATCHED - len(self._watched)) - self._planned

    async def _find_known(self, intent: str) -> _Watched | Sent | None:
        if intent in self._watched:
            return self._watched[intent]
        record = await self._journal.load(intent)
        if record is None:
            return None
        # One that is not watched: a save that was reported as failed had come through.
        return record.sent or self._watched.get(intent) or self._watch(record, pushed_at=-inf)

    async def _send_planned(self, intent: str, call: TxCall, plan: _Plan) -> _Watched:
        nonce = choose_nonce(await self._journal.next_nonce(), plan.mined, plan.pending)
        record = TxRecord(intent, call, plan.gas, (self._sign(call, plan.gas, nonce, plan.fees),))
        reach("tx_before_save")
        # Once on disk it must be watched: not even a cancelled caller may come between.
        with trio.CancelScope(shield=True):
            await self._journal.save(record)
            reach("tx_saved")
            watched = self._watch(record, pushed_at=trio.current_time())
        await self._hand_over(watched)
        reach("tx_broadcast")
        return watched

    def _watch(self, record: TxRecord, pushed_at: float) -> _Watched:
        watched = self._watched[record.intent] = _Watched(record, pushed_at)
        self._wake.set()
        return watched

    async def _plan(self, call: TxCall) -> _Plan:
        address = self._signer.address
        fees = await read_fees(self._rpc, self._pace.fee_cap)
        questions = [ask_balance(address), ask_nonce(address), ask_nonce(address, "pending")]
        balance, mined, pending = await self._rpc.ask_all(questions)
        self._check_funds(call.value, balance)
        gas = await self._estimate(call)
        fees = bound_fees(fees, gas, call.most_wei)
        self._check_funds(call.value + gas * fees.max_fee, balance)
        return _Plan(fees, gas, mined, pending)

    async def read_fuel(self) -> tuple[int, int]:
        """The key's wei, and what one unit of gas costs at most now."""
        fees = await read_fees(self._rpc, self._pace.fee_cap)
        return await self._rpc.ask(ask_balance(self._signer.address)), fees.max_fee

    async def _estimate(self, call: TxCall) -> int:
        if not call.is_estimated:
            return call.gas_floor
        estimate = await self._rpc.ask(ask_gas(self._signer.address, call.to, call.data, call.value))
        if estimate > MAX_GAS:
            raise Permanent(f"a transaction would take {estimate} gas, {MAX_GAS} are allowed", hint="split it")
        return min(max(estimate * 5 // 4, call.gas_floor), MAX_GAS)

    def _check_funds(self, needed: int, balance: int) -> None:
        if balance < needed:
            raise Retryable(
                f"{checksum_address(self._signer.address)} has {balance} wei, its transaction needs {needed}",
                hint="send it some",
            )

    def _sign(self, call: TxCall, gas: int, nonce: int, fees: Fees) -> Attempt:
        raw = self._signer.sign_transaction(
            Transaction(
                chain_id=self._chain_id,
                nonce=nonce,
                max_priority_fee=fees.max_priority_fee,
                max_fee=fees.max_fee,
                gas=gas,
                to=call.to,
                value=call.value,
                data=call.data,
            )
        )
        return Attempt(nonce, fees.max_fee, fees.max_priority_fee, keccak(raw), raw)

    async def _hand_over(self, watched: _Watched) -> None:
        """Hands its last attempt to the node, and notes whether it was taken."""
        attempt, before = watched.record.attempts[-1], watched.refused
        watched.refused = await self._broadcast(attempt)
        if watched.refused and watched.refused != before:
            tx_hash = to_hex(attempt.tx_hash)
            log.warning("transaction not taken yet", tx_hash=tx_hash, nonce=attempt.nonce, reason=watched.refused)

    async def _broadcast(self, attempt: Attempt) -> str:
        """Hands it to the node. "" when it took it, else why not. Only receipts tell what became of it: nothing is raised."""
        try:
            await self._rpc.tell(send_raw(attempt.raw))
        except NodeRefused as error:
            return "" if any(word in error.message.lower() for word in _KNOWN) else str(error)
        except (Retryable, Permanent) as error:
            return str(error)
        return ""

    # ---- Watching

    async def _look(self) -> None:
        head, count, deep_count, receipts = await self._read_chain()
        for watched in sorted(self._watched.values(), key=lambda each: each.record.nonce):
            record = watched.record
            found = (receipts.get(attempt.tx_hash) for attempt in record.attempts)
            receipt = next((one for one in found if one is not None), None)
            watched.is_mined = receipt is not None
            if receipt is not None:
                await self._on_receipt(watched, receipt, head)
            elif deep_count > record.nonce:
                await self._on_nonce_lost(watched)
            elif count <= record.nonce:
                await self._push_if_due(watched, is_next=count == record.nonce)
        await self._fill_gap(count)

    async def _read_chain(self) -> tuple[int, int, int, dict[Hash32, Receipt | None]]:
        """Head, our transaction count there and at the depth that counts, and the receipts of all attempts."""
        address = self._signer.address
        head = await self._rpc.ask(ask_head())
        hashes = [attempt.tx_hash for each in self._watched.values() for attempt in each.record.attempts]
        # The counts come before the receipts: a transaction mined in between then shows as mined, never as lost.
        count = await self._rpc.ask(ask_nonce(address))
        try:
            deep_count = await self._rpc.ask(ask_nonce(address, max(0, head - self._pace.confirmations + 1)))
        except (NodeRefused, NodeBehind):
            # A node that has just begun may not know the past; then nothing counts as lost yet.
            deep_count = 0
        receipts: dict[Hash32, Receipt | None] = {}
        for start in range(0, len(hashes), MAX_BATCH_CALLS - 1):
            part = hashes[start : start + MAX_BATCH_CALLS - 1]
            now, *answers = await self._rpc.ask_all([ask_head(), *(ask_receipt(tx_hash) for tx_hash in part)])
            if now < head:
                # Behind a load balancer an older node does not have the receipts of what the counts show as mined.
                deep_count = 0
            receipts.update(zip(part, answers, strict=True))
        self._rpc.pulse.saw_head(head)
        return head, count, deep_count, receipts

    async def _on_receipt(self, watched: _Watched, receipt: Receipt, head: int) -> None:
        watched.lost_looks = 0
        block_number = receipt.block_number
        if head - block_number + 1 < self._pace.confirmations:
            # Mined but shallow: should a reorg take it out, it counts as unmined from now.
            watched.pushed_at = trio.current_time()
            # It has left the pools: there is room for another, however many confirmations this one waits for.
            self._room.set()
            return
        attempts = watched.record.attempts
        sent = Sent(
            intent=watched.record.intent,
            tx_hash=receipt.tx_hash,
            block_number=block_number,
            ok=receipt.ok and not any(one.is_cancel for one in attempts if one.tx_hash == receipt.tx_hash),
            gas_used=receipt.gas_used,
        )
        reach("tx_before_mark")
        await self._journal.mark_confirmed(sent.intent, sent)
        reach("tx_marked")
        del self._watched[sent.intent]
        watched.sent = sent
        watched.settled.set()
        self._room.set()

    async def _push_if_due(self, watched: _Watched, is_next: bool) -> None:
        waited_s = trio.current_time() - watched.pushed_at
        pace = self._rpc.pulse.pace
        stuck_after_s = max(self._pace.stuck_after_s, STUCK_BLOCKS * pace.usual_s if pace else 0.0)
        is_stuck = waited_s >= stuck_after_s or (watched.refused and "underpriced" in watched.refused)
        if not is_stuck and not (watched.refused and waited_s >= HAND_AGAIN_S):
            return
        if watched.record.call.is_optional and not watched.record.attempts[-1].is_cancel:
            wanted = await ask_wanted(watched.is_wanted, trio.current_time() - watched.since, watched.record.intent)
            if not wanted:
                if wanted is False:
                    await self._cancel(watched)
                return
        if is_stuck:
            await self._push(watched, is_next)
        else:
            watched.pushed_at = trio.current_time()
            await self._hand_over(watched)

    async def _cancel(self, watched: _Watched) -> None:
        """Take its nonce by a transaction that does nothing, as soon as the fee cap allows: those behind it must not wait."""
        watched.pushed_at = trio.current_time()
        last = watched.record.attempts[-1]
        market = await read_fees(self._rpc, self._pace.fee_cap)
        raised = raise_fees(Fees(last.max_fee, last.max_priority_fee), market, self._pace.fee_cap)
        if raised is None:
            return
        log.warning(
            "a transaction is not wanted any more; cancelling it", intent=watched.record.intent, nonce=last.nonce
        )
        attempt = self._sign(TxCall(self._signer.address, b""), FILLER_GAS, last.nonce, raised)
        await self._save(watched, msgspec.structs.replace(attempt, is_cancel=True))
        await self._hand_over(watched)

    async def _push(self, watched: _Watched, is_next: bool) -> None:
        """Offer it again, for a higher fee if it is the one the chain waits for."""
        watched.pushed_at = trio.current_time()
        record = watched.record
        last = record.attempts[-1]
        raised = None
        if is_next and len(record.attempts) < MAX_ATTEMPTS:
            market = await read_fees(self._rpc, self._pace.fee_cap)
            call, gas = (TxCall(self.address, b""), FILLER_GAS) if last.is_cancel else (record.call, record.gas)
            cap = min(self._pace.fee_cap, call.most_wei // gas) if call.most_wei else self._pace.fee_cap
            raised = raise_fees(Fees(last.max_fee, last.max_priority_fee), market, cap)
        if raised is not None:
            attempt = self._sign(call, gas, record.nonce, raised)
            await self._save(watched, msgspec.structs.replace(attempt, is_cancel=last.is_cancel))
        await self._hand_over(watched)

    async def _on_nonce_lost(self, watched: _Watched) -> None:
        """Another transaction of this key, not ours, has used the nonce for good: the intent needs a new one."""
        watched.lost_looks += 1
        if watched.lost_looks < LOST_LOOKS:
            return
        async with self._lock:
            record = watched.record
            market = await read_fees(self._rpc, self._pace.fee_cap)
            address = self._signer.address
            mined, pending = await self._rpc.ask_all([ask_nonce(address), ask_nonce(address, "pending")])
            nonce = choose_nonce(await self._journal.next_nonce(), mined, pending)
            log.warning("nonce used by another program with our key", intent=record.intent, nonce=record.nonce)
            await self._move(watched, nonce, market)

    async def _move(self, watched: _Watched, nonce: int, fees: Fees) -> None:
        record = watched.record
        watched.lost_looks, watched.pushed_at = 0, trio.current_time()
        await self._save(
            watched, self._sign(record.call, record.gas, nonce, bound_fees(fees, record.gas, record.call.most_wei))
        )
        await self._hand_over(watched)

    async def _save(self, watched: _Watched, attempt: Attempt) -> None:
        attempts = (*watched.record.attempts, attempt)
        watched.record = msgspec.structs.replace(watched.record, attempts=attempts)
        await self._journal.save(watched.record)

    async def _fill_gap(self, count: int) -> None:
        """When the chain has gone back behind what was final, hand it again what it has lost, in order.

        A development chain restored from an older state does this; the same raw transactions cannot be mined twice.
        """
        waiting = [each.record.nonce for each in self._watched.values()]
        if count >= (min(waiting) if waiting else await self._journal.next_nonce()):
            self._hole = None
            return
        records = await self._journal.load_from_nonce(count, MAX_POOLED)
        for record in records[:MAX_IN_FLIGHT]:
            if record.sent is not None:
                await self._broadcast(record.attempts[-1])
        await self._close_hole(count, waiting, {record.nonce for record in records})

    async def _close_hole(self, count: int, waiting: list[int], known: set[int]) -> None:
        """When nobody has sent the transaction that the chain waits for, and ours are behind it: once a chain node gave a
        wrong count."""
        if not waiting or count in known:
            self._hole = None
            return
        if self._hole is None or self._hole[0] != count:
            self._hole = (count, trio.current_time())
        if trio.current_time() - self._hole[1] < self._pace.stuck_after_s:
            return
        async with self._lock:
            if await self._rpc.ask(ask_nonce(self._signer.address, "pending")) != count:
                # Another program with our key is about to fill it.
                return
            self._hole = None
            fees = await read_fees(self._rpc, self._pace.fee_cap)
            log.warning("a transaction of this key is lacking; making up for it", nonce=count, waiting=len(waiting))
            for nonce in list_fillers(count, waiting, known):
                await self._send_filler(nonce, fees)
            moves = dict(list_moves(count, waiting))
            for watched in sorted(self._watched.values(), key=lambda each: each.record.nonce):
                if watched.record.nonce in moves:
                    await self._move(watched, moves[watched.record.nonce], fees)

    async def _send_filler(self, nonce: int, fees: Fees) -> None:
        call = TxCall(self._signer.address, b"")
        record = TxRecord(f"filler:{nonce}", call, FILLER_GAS, (self._sign(call, FILLER_GAS, nonce, fees),))
        await self._journal.save(record)
        await self._hand_over(self._watch(record, pushed_at=trio.current_time()))
