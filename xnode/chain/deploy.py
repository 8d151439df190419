"""Deploy: puts the three contracts on a chain from the committed artifacts, and says where they are."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode

from metering.units import ZERO_ADDRESS, Address
from xnode.chain import payment_escrow
from xnode.chain.abi import parse_hex, to_hex
from xnode.chain.artifacts import load_artifact
from xnode.chain.manifest import Asset, Contracts, Manifest
from xnode.chain.rpc import Rpc
from xnode.chain.transactor import Transactor
from xnode.chain.tx_journal import TxCall
from xnode.errors import Permanent
from xnode.ports import Sent

OPENX_DECIMALS = 18


@dataclass(frozen=True, slots=True)
class Plan:
    """What the constructors are told. supply: OPENX base units, all to `holder`; owner: may accept assets."""

    holder: Address
    owner: Address
    supply: int
    min_thaw_s: int
    stake_thaw_s: int
    confirmations: int


async def deploy(rpc: Rpc, transactor: Transactor, chain_id: int, plan: Plan, *, label: str = "deploy") -> Manifest:
    """The manifest of contracts made from the transactor's key, which pays the gas and must be the owner to add OPENX.

    Interrupted and run again with the same label and journal, it goes on where it stopped.
    """
    supply = abi_encode(("address", "uint256", "address"), (plan.holder, plan.supply, plan.owner))
    token, first_block = await _create(rpc, transactor, f"{label}/OpenxToken", "OpenxToken", supply)
    stake = abi_encode(("address", "uint32", "address"), (token, plan.stake_thaw_s, plan.owner))
    registry, _ = await _create(rpc, transactor, f"{label}/ProviderRegistry", "ProviderRegistry", stake)
    terms = abi_encode(("address", "address", "uint32"), (registry, plan.owner, plan.min_thaw_s))
    escrow, _ = await _create(rpc, transactor, f"{label}/PaymentEscrow", "PaymentEscrow", terms)
    accept = TxCall(escrow, payment_escrow.ADD_ASSET.encode(token))
    _check_done(await transactor.send(f"{label}/addAsset", accept), "accepting OPENX")
    return Manifest(
        chain_id=chain_id,
        deployed_at_block=first_block,
        confirmations=plan.confirmations,
        contracts=Contracts(token, registry, escrow),
        assets=(Asset("OPENX", OPENX_DECIMALS, token),),
    )


async def _create(rpc: Rpc, transactor: Transactor, intent: str, name: str, arguments: bytes) -> tuple[Address, int]:
    code = load_artifact(name).bytecode + arguments
    sent = await transactor.send(intent, TxCall(None, code))
    _check_done(sent, f"making {name}")
    receipt = await rpc.read("eth_getTransactionReceipt", to_hex(sent.tx_hash))
    address = Address(parse_hex(receipt["contractAddress"])) if receipt else ZERO_ADDRESS
    if address == ZERO_ADDRESS:
        raise Permanent(f"{name} was made in block {sent.block_number}, which is gone; deploy again")
    return address, sent.block_number


def _check_done(sent: Sent, what: str) -> None:
    if not sent.ok:
        raise Permanent(f"{what} reverted in transaction {to_hex(sent.tx_hash)}; look at it with cast run")
