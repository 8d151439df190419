"""Deploy: puts all contracts on a chain from the committed artifacts, wired to each other, and says where they are."""

from __future__ import annotations

from collections.abc import Callable

from metering.eip712 import keccak
from metering.units import ZERO_ADDRESS, Address
from xnode.chain.abi.artifacts import find_entry, load_artifact
from xnode.chain.abi.codec import encode_values
from xnode.chain.contracts import compute_credit, provider_registry, verifier_registry
from xnode.chain.deployment.check import check_deployment
from xnode.chain.deployment.manifest import Asset, Contracts, Manifest
from xnode.chain.deployment.plan import Plan
from xnode.chain.deployment.wiring import list_holds, list_judges, list_not_payable
from xnode.chain.node.json_rpc import JsonRpc, Reverted
from xnode.chain.node.questions import ask_creation, ask_receipt
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import TxCall
from xnode.errors import Permanent, UserError
from xnode.ports.chain import Sent
from xnode.text.amount import OPENX_DECIMALS
from xnode.text.hex import to_hex

Say = Callable[[str], None]


async def deploy(
    rpc: JsonRpc,
    transactor: Transactor,
    chain_id: int,
    plan: Plan,
    *,
    label: str = "deploy",
    say: Say = lambda _text: None,
) -> Manifest:
    """The manifest of contracts made from the transactor's key, which pays the gas and keeps no power over them.

    Interrupted and run again with the same label and journal, it goes on where it stopped.
    """
    return await _Deployment(rpc, transactor, label, say).run(chain_id, plan)


class _Deployment:
    """One run: every step is an intent of its own, so that none is ever done twice."""

    def __init__(self, rpc: JsonRpc, transactor: Transactor, label: str, say: Say) -> None:
        self._rpc, self._transactor, self._label, self._say = rpc, transactor, label, say
        self._first_block = 0

    async def run(self, chain_id: int, plan: Plan) -> Manifest:
        manifest = await self.make_all(chain_id, plan)
        await self._connect(manifest.contracts, [asset.address for asset in manifest.assets])
        await self._connect_verifiers(manifest.contracts)
        await check_deployment(self._rpc, manifest)
        return manifest

    async def make_all(self, chain_id: int, plan: Plan) -> Manifest:
        """Every contract, and where it is; not yet connected."""
        owner = await self._make_timelock(plan)
        supply = plan.openx
        token = await self._create("OpenxToken", supply.holder, supply.supply, owner)
        registry = await self._create("ProviderRegistry", token, plan.stake_thaw_s, self._connector)
        splits = await self._create("SplitRegistry")
        randomness = await self._create("RandaoRandomness")
        verifiers = await self._create(
            "VerifierRegistry", registry, owner, plan.make_verifier_values(), self._connector
        )
        rules = await self._create("ChallengeRules", registry, owner, *plan.make_rules_values())
        capacity = await self._create("CapacityRegistry", registry, verifiers, rules, randomness)
        gpu = await self._make_credit(plan, "GpuCredit", compute_credit.Kind.GPU, registry, capacity, owner)
        cpu = await self._make_credit(plan, "CpuCredit", compute_credit.Kind.CPU, registry, capacity, owner)
        assets = (
            Asset("OPENX", OPENX_DECIMALS, token),
            Asset("tGPU", OPENX_DECIMALS, gpu),
            Asset("tCPU", OPENX_DECIMALS, cpu),
            *plan.assets,
        )
        setups = [(asset.address, asset.address in (gpu, cpu)) for asset in assets]
        guardian = plan.governance.guardian
        escrow = await self._create("PaymentEscrow", registry, splits, owner, guardian, plan.escrow_min_thaw_s, setups)
        prover = await self._create("FaultProver", registry, capacity, escrow)
        over = await self._create("OverCapacity", registry, capacity, escrow)
        breaches = await self._create("BreachProver", registry, escrow)
        reveals = await self._create("AnswerReveals", registry, capacity)
        contracts = Contracts(
            timelock=owner,
            openx_token=token,
            provider_registry=registry,
            split_registry=splits,
            randomness=randomness,
            verifier_registry=verifiers,
            challenge_rules=rules,
            capacity_registry=capacity,
            gpu_credit=gpu,
            cpu_credit=cpu,
            payment_escrow=escrow,
            fault_prover=prover,
            over_capacity=over,
            breach_prover=breaches,
            answer_reveals=reveals,
        )
        return Manifest(
            chain_id=chain_id,
            deployed_at_block=self._first_block,
            confirmations=plan.confirmations,
            contracts=contracts,
            assets=assets,
            rpc_url=plan.rpc_url,
            min_thaw_s=plan.escrow_min_thaw_s,
        )

    @property
    def _connector(self) -> Address:
        """Who may connect the registries, once."""
        return self._transactor.address

    async def _make_timelock(self, plan: Plan) -> Address:
        rule = plan.governance
        # Without an admin: from birth only the timelock itself can change who may propose.
        return await self._create("Timelock", rule.delay_s, list(rule.proposers), list(rule.executors), ZERO_ADDRESS)

    async def _make_credit(
        self, plan: Plan, step: str, kind: compute_credit.Kind, registry: Address, capacity: Address, owner: Address
    ) -> Address:
        named = ("xnode GPU credit", "tGPU") if kind is compute_credit.Kind.GPU else ("xnode CPU credit", "tCPU")
        rate = plan.credits.gpu_collateral if kind is compute_credit.Kind.GPU else plan.credits.cpu_collateral
        values = (*named, int(kind), registry, capacity, owner, rate, plan.credits.window_hours)
        return await self._create("ComputeCredit", *values, step=step)

    async def _connect(self, c: Contracts, assets: list[Address]) -> None:
        self._say("connecting ProviderRegistry with what holds stake and who may take it")
        judges = list_judges(c)
        holds = list_holds((c.gpu_credit, c.cpu_credit), c.verifier_registry)
        not_payable = list(dict.fromkeys((*list_not_payable(c), *assets)))
        data = provider_registry.CONNECT.encode(judges, holds, not_payable, c.breach_prover)
        call = TxCall(c.provider_registry, data)
        _check_done(await self._transactor.send(f"{self._label}/connect", call), "connecting ProviderRegistry")

    async def _connect_verifiers(self, c: Contracts) -> None:
        self._say("connecting VerifierRegistry with who draws panels from it and who shows answers")
        call = TxCall(c.verifier_registry, verifier_registry.CONNECT.encode(c.capacity_registry, c.answer_reveals))
        what = "connecting VerifierRegistry"
        _check_done(await self._transactor.send(f"{self._label}/connect-verifiers", call), what)

    async def _create(self, name: str, *values: object, step: str = "") -> Address:
        """Where the contract is. step: names it among several of one kind."""
        step = step or name
        sent = await self._transactor.send(f"{self._label}/{step}", TxCall(None, make_creation(name, *values)))
        _check_done(sent, f"making {step}")
        receipt = await self._rpc.ask(ask_receipt(sent.tx_hash))
        address = receipt.made if receipt else None
        if address is None:
            raise Permanent(f"{step} was made in block {sent.block_number}, which is gone", hint="deploy again")
        self._first_block = self._first_block or sent.block_number
        self._say(f"{step} at {to_hex(address)}")
        return address


async def rehearse(rpc: JsonRpc, deployer: Address, chain_id: int, plan: Plan, say: Say) -> None:
    """Ask the chain what every constructor says to the plan, before any is paid for. UserError, or Reverted with what the
    contract itself says, where one would refuse it or the manifest could not be written."""
    try:
        await _Rehearsal(rpc, deployer, say).make_all(chain_id, plan)
    except ValueError as error:
        raise UserError(str(error), where="the plan", hint="see contracts/plan.example.toml") from error


_ONE = Address(bytes(19) + b"\1")
"""An answer that is a small number as well."""


class _Rehearsal(_Deployment):
    """Creations that are only called. What one makes is taken to be a contract that gives one answer to all questions of the
    other constructors: of ProviderRegistry they ask times and a token, of PaymentEscrow its largest fee, of the rest which
    registry is theirs."""

    def __init__(self, rpc: JsonRpc, deployer: Address, say: Say) -> None:
        self._rpc, self._deployer, self._say, self._first_block = rpc, deployer, say, 0
        self._standing: dict[Address, bytes] = {}
        self._registry = _ONE

    @property
    def _connector(self) -> Address:
        return self._deployer

    async def _create(self, name: str, *values: object, step: str = "") -> Address:
        # What takes nothing of the plan has nothing to say to it.
        code = make_creation(name, *values) if values else b""
        try:
            if code:
                await self._rpc.ask(ask_creation(self._deployer, code, self._standing))
        except Reverted:
            raise
        except Permanent as error:
            # Such as a chain node that takes no code for granted; the creation itself tells.
            self._say(f"{step or name} is not rehearsed: {error.message}")
        address = Address(keccak((step or name).encode())[:20])
        self._standing[address] = _make_answering(_ONE if name == "PaymentEscrow" else self._registry)
        if name == "ProviderRegistry":
            self._registry = address
        return address


def _make_answering(word: Address) -> bytes:
    """Code of a contract that returns this word: PUSH20 word, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN."""
    return b"\x73" + word + bytes.fromhex("60005260206000f3")


def make_creation(name: str, *values: object) -> bytes:
    """The code that makes a contract, with its constructor's arguments behind it."""
    bytecode = load_artifact(name).bytecode
    return bytecode + encode_values(find_entry(name, "constructor", "").inputs, values) if values else bytecode


def _check_done(sent: Sent, what: str) -> None:
    if not sent.ok:
        raise Permanent(f"{what} reverted in transaction {to_hex(sent.tx_hash)}", hint="look at it with cast run")
