"""The contracts on anvil, driven by the acts of a history and asked for all that the model keeps."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from coincurve import PrivateKey
from eth_abi.abi import decode, encode

from metering.eip712 import Domain, keccak, typed_digest
from metering.signature import address_of_key, sign_digest
from metering.units import Address, Hash32
from tests.contracts.ledger_calls import make_call
from tests.contracts.ledger_history import BEGIN_S, NODE, PARTIES, PROVIDERS, RICH, STAKE, SUPPLY, WEALTH, Act
from tests.contracts.ledger_words import (
    ASSETS,
    COLLATERAL_RATIO,
    MIN_THAW_S,
    MOST_PPM,
    PROVIDER,
    SPLITS,
    STAKE_THAW_S,
    VERIFIER,
    WINDOW_HOURS,
    Event,
    Row,
    Signed,
    Terms,
)

CHAIN_ID = 31337
GAS = 3_000_000
"""For every transaction: a batch of eight rows with a first payout takes a tenth."""

DEADLINE_S = 60
"""Of one answer; anvil gives most within a millisecond."""

ANVIL = ("--order", "fifo", "--no-mining", "--auto-impersonate", "--timestamp", "1800000000", "--hardfork", "cancun")
ANVIL_LIMITS = ("--base-fee", "0", "--gas-price", "0", "--gas-limit", "3000000000", "--prune-history", "4")
_CONTRACTS = Path(__file__).parents[2] / "contracts"
_TOLD = ("escrow", "splits", "tgpu", "tcpu", "registry")
"""Whose events the model tells, but for those of ERC-20s."""

_UNTOLD = ("Transfer", "Approval")


class Node:
    """Plain JSON-RPC over one kept connection. Close it."""

    def __init__(self, url: str) -> None:
        where = urllib.parse.urlsplit(url)
        assert where.hostname
        self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=DEADLINE_S)

    def call(self, method: str, *params: Any) -> Any:
        return self.call_all([(method, params)])[0]

    def call_all(self, calls: list[tuple[str, Any]]) -> list[Any]:
        """The results, in order. AssertionError when one is an error."""
        if not calls:
            return []
        asked = [{"jsonrpc": "2.0", "id": i, "method": name, "params": given} for i, (name, given) in enumerate(calls)]
        self._http.request("POST", "/", json.dumps(asked), {"Content-Type": "application/json"})
        told = json.loads(self._http.getresponse().read())
        results = {answer["id"]: answer for answer in told}
        for number, (name, given) in enumerate(calls):
            assert "result" in results[number], f"{name}{given}: {results[number].get('error')}"
        return [results[number]["result"] for number in range(len(calls))]

    def close(self) -> None:
        self._http.close()


class Abi:
    """A compiled contract: its creation code, functions, events and errors."""

    def __init__(self, path: Path) -> None:
        built = json.loads(path.read_text())
        code = built["bytecode"]
        self.code = bytes.fromhex((code if isinstance(code, str) else code["object"])[2:])
        parts = built["abi"]
        self.constructor = [
            kind_of(field) for part in parts if part["type"] == "constructor" for field in part["inputs"]
        ]
        self.functions = {part["name"]: part for part in parts if part["type"] == "function"}
        self.events = {keccak(signature_of(part).encode()).hex(): part for part in parts if part["type"] == "event"}
        self.errors = {
            keccak(signature_of(part).encode())[:4]: part["name"] for part in parts if part["type"] == "error"
        }

    def encode(self, function: str, *args: Any) -> bytes:
        part = self.functions[function]
        return keccak(signature_of(part).encode())[:4] + encode([kind_of(field) for field in part["inputs"]], args)

    def decode(self, function: str, data: bytes) -> tuple[Any, ...]:
        return decode([kind_of(field) for field in self.functions[function]["outputs"]], data)


def kind_of(field: dict[str, Any]) -> str:
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(kind_of(part) for part in field['components'])}){kind[5:]}"


def signature_of(part: dict[str, Any]) -> str:
    return f"{part['name']}({','.join(kind_of(field) for field in part['inputs'])})"


class Market:
    """The deployed contracts, under the names the model uses."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.keys = {who: PrivateKey(keccak(who.encode())) for who in PARTIES}
        self.address: dict[str, Address] = {who: address_of_key(key.public_key) for who, key in self.keys.items()}
        self.address["nobody"] = Address(bytes(20))
        self.abi: dict[str, Abi] = {}
        self._nonces: dict[str, int] = {}
        self._terms: dict[bytes, Terms] = {}
        self._ids: dict[Terms, bytes] = {}
        self._deploy()
        self._names = {address: name for name, address in self.address.items()}
        self.separator = Domain(CHAIN_ID, self.address["escrow"]).separator()
        self.split_ids = {split: self._split_id(split) for split in SPLITS}
        self._splits = {id: split for split, id in self.split_ids.items()}
        self.errors = {code: name for abi in self.abi.values() for code, name in abi.errors.items()}
        self.errors[keccak(b"Error(string)")[:4]] = "Error"
        self._kept_nonces = dict(self._nonces)
        self._snapshot = node.call("evm_snapshot")

    def begin_again(self) -> None:
        """Back to how it was deployed."""
        assert self.node.call("evm_revert", self._snapshot)
        self._snapshot = self.node.call("evm_snapshot")
        self._nonces = dict(self._kept_nonces)

    # ---- Deployment

    def _deploy(self) -> None:
        self.node.call_all([("anvil_setBalance", [hex_of(address), hex(10**24)]) for address in self.address.values()])
        where = self.address
        self._create("openx", "artifacts/OpenxToken.json", where["treasury"], SUPPLY, where["owner"])
        self._create("registry", "artifacts/ProviderRegistry.json", where["openx"], STAKE_THAW_S, where["owner"])
        self._create("splits", "artifacts/SplitRegistry.json")
        self._create("capacity", "out/Providing.sol/GivenCapacity.json")
        self._create("usd", "out/Assets.sol/PlainAsset.json")
        self._create("toy", "out/Assets.sol/PlainCredit.json")
        common = (where["registry"], where["capacity"], where["owner"], COLLATERAL_RATIO, WINDOW_HOURS)
        self._create("tgpu", "artifacts/ComputeCredit.json", "tgpu", "tgpu", 0, *common)
        self._create("tcpu", "artifacts/ComputeCredit.json", "tcpu", "tcpu", 1, *common)
        assets = [(where[asset], asset != "usd") for asset in ASSETS]
        rights = (where["registry"], where["splits"], where["owner"], where["guardian"])
        self._create("escrow", "artifacts/PaymentEscrow.json", *rights, MIN_THAW_S, assets)
        judges = [(where["judge"], role, most_ppm) for role, most_ppm in MOST_PPM.items()]
        holds = [(where["tgpu"], PROVIDER), (where["tcpu"], PROVIDER), (where["capacity"], VERIFIER)]
        self.send("registry", "connect", "owner", judges, holds, [where["escrow"]], where["judge"])
        for split in SPLITS:
            if split not in ("none", "unknown"):
                self.send("splits", "create", "owner", self.shares_of(split))
        self._make_rich()
        self._make_providers()
        self.node.call("evm_mine", hex(BEGIN_S - 1))

    def _create(self, name: str, path: str, *args: Any) -> None:
        abi = self.abi[name] = Abi(_CONTRACTS / path)
        nonce = self._next_nonce("owner")
        data = abi.code + encode(abi.constructor, args)
        made = {
            "from": hex_of(self.address["owner"]),
            "data": hex_of(data),
            "gas": hex(30_000_000),
            "nonce": hex(nonce),
        }
        hash_ = self.node.call("eth_sendTransaction", made)
        self.node.call("evm_mine")
        receipt = self.node.call("eth_getTransactionReceipt", hash_)
        assert receipt["status"] == "0x1", f"{name} is not deployed"
        self.address[name] = Address(bytes.fromhex(receipt["contractAddress"][2:]))

    def _make_rich(self) -> None:
        for who in RICH:
            for asset in ("usd", "toy"):
                self.send(asset, "mint", "owner", self.address[who], WEALTH)
            for asset in ASSETS:
                self.send(asset, "approve", who, self.address["escrow"], WEALTH)

    def _make_providers(self) -> None:
        message = SimpleNamespace(
            provider=self.address["provider0"], node_key=self.address[NODE], nonce=0, deadline=2**64 - 1
        )
        domain = Domain(CHAIN_ID, self.address["registry"]).separator()
        proof = sign_digest(self.keys[NODE], typed_digest(domain, "NodeKey", message))
        self.send("registry", "register", "provider0", self.address[NODE], self.address["nobody"], 2**64 - 1, proof)
        self.send("openx", "approve", "treasury", self.address["registry"], SUPPLY)
        for provider in PROVIDERS:
            self.send("registry", "stakeFor", "treasury", self.address[provider], STAKE[provider])
            self.send("capacity", "give", "owner", self.address[provider], 100_000, 50_000, BEGIN_S + 20 * 86_400)

    def send(self, contract: str, function: str, caller: str, *args: Any) -> None:
        """One transaction of the deployment, which must succeed."""
        data = self.abi[contract].encode(function, *args)
        hash_ = self.node.call("eth_sendTransaction", self._transaction(contract, caller, data))
        self.node.call("evm_mine")
        assert self.node.call("eth_getTransactionReceipt", hash_)["status"] == "0x1", f"{contract}.{function}"

    def _transaction(self, contract: str, caller: str, data: bytes) -> dict[str, str]:
        nonce = self._next_nonce(caller)
        where, giver = hex_of(self.address[contract]), hex_of(self.address[caller])
        return {"from": giver, "to": where, "data": hex_of(data), "gas": hex(GAS), "nonce": hex(nonce)}

    def _next_nonce(self, who: str) -> int:
        self._nonces[who] = self._nonces.get(who, 0) + 1
        return self._nonces[who] - 1

    # ---- Acts

    def perform(self, acts: list[Act], time: int) -> list[tuple[list[Event], str]]:
        """Mines one block with the acts at that time: the events and the error's name of each."""
        sent = []
        for act in acts:
            contract, data = make_call(self, act)
            sent.append(("eth_sendTransaction", [self._transaction(contract, act.caller, data)]))
        hashes = self.node.call_all(sent)
        self.node.call("evm_mine", hex(time))
        receipts = self.node.call_all([("eth_getTransactionReceipt", [hash_]) for hash_ in hashes])
        return [self._read_receipt(receipt) for receipt in receipts]

    def _read_receipt(self, receipt: dict[str, Any]) -> tuple[list[Event], str]:
        if receipt["status"] == "0x1":
            events = [self._read_log(log) for log in receipt["logs"]]
            return [event for event in events if event], ""
        trace = self.node.call("debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"})
        code = bytes.fromhex(trace.get("output", "0x")[2:10])
        return [], self.errors.get(code, f"unknown error {code.hex()}")

    def _read_log(self, log: dict[str, Any]) -> Event | None:
        contract = self._names.get(Address(bytes.fromhex(log["address"][2:])), "")
        if contract not in _TOLD:
            return None
        part = self.abi[contract].events[log["topics"][0][2:]]
        if part["name"] in _UNTOLD:
            return None
        words = [bytes.fromhex(topic[2:]) for topic in log["topics"][1:]]
        plain = [field for field in part["inputs"] if not field["indexed"]]
        values = iter(decode([kind_of(field) for field in plain], bytes.fromhex(log["data"][2:])))
        fields = [
            self._name(field, decode([kind_of(field)], words.pop(0))[0] if field["indexed"] else next(values))
            for field in part["inputs"]
        ]
        return contract, part["name"], tuple(fields)

    def name_of(self, address: str) -> str:
        """The name of an address in hex."""
        return self._names.get(Address(bytes.fromhex(address[2:])), address)

    def _name(self, field: dict[str, Any], value: Any) -> Any:
        """A field as the model says it."""
        if field["type"] == "address":
            return self.name_of(value)
        if field["name"] == "escrowId":
            return self._terms.get(value, value)
        if field["name"] == "split":
            return self._splits.get(value, value)
        return int.from_bytes(value, "big") if field["type"] == "bytes32" else value

    # ---- Ids and signatures

    def shares_of(self, split: str) -> list[tuple[bytes, int]]:
        return sorted((self.address[who], ppm) for who, ppm in SPLITS[split])

    def _split_id(self, split: str) -> bytes:
        return keccak(encode(["(address,uint32)[]"], [self.shares_of(split)])) if split != "none" else bytes(32)

    def terms_of(self, terms: Terms) -> tuple[Any, ...]:
        """The struct, by the addresses."""
        parties = (self.address[terms.payer], self.address[terms.signer], self.address[terms.provider])
        return (*parties, self.address[terms.asset], self.split_ids[terms.split], terms.thaw, terms.nonce)

    def id_of(self, terms: Terms) -> bytes:
        if terms not in self._ids:
            names = ("payer", "signer", "provider", "asset", "split", "thaw", "nonce")
            value = SimpleNamespace(**dict(zip(names, self.terms_of(terms), strict=True)))
            self._ids[terms] = typed_digest(self.separator, "Escrow", value)
            self._terms[self._ids[terms]] = terms
        return self._ids[terms]

    def sign(self, sig: Signed, kind: str, **fields: Any) -> bytes:
        """65 bytes. A damaged signature has its s in the upper half: the second form of a good one."""
        return self._sign(sig, typed_digest(self.separator, kind, SimpleNamespace(**fields)))

    def sign_permit(self, sig: Signed, owner: str, asset: str, amount: int, nonce: int, deadline: int) -> bytes:
        domain = Domain(CHAIN_ID, self.address[asset], asset).separator()
        spender = self.address["escrow"]
        value = SimpleNamespace(
            owner=self.address[owner], spender=spender, value=amount, nonce=nonce, deadline=deadline
        )
        return self._sign(sig, typed_digest(domain, "Permit", value))

    def _sign(self, sig: Signed, digest: bytes) -> bytes:
        made = bytes(sign_digest(self.keys[sig.by], Hash32(digest)))
        if sig.over is not None:
            return made
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        flipped = order - int.from_bytes(made[32:64], "big")
        return made[:32] + flipped.to_bytes(32, "big") + bytes((27 + 28 - made[64],))

    def pack(self, row: Row, sig: bytes) -> bytes:
        """A row of a batch; ERC-2098 takes the parity into the top bit of s."""
        s = int.from_bytes(sig[32:64], "big") | (sig[64] - 27) << 255
        head = self.address[row.payer] + self.address[row.signer] + row.nonce.to_bytes(12, "big")
        return (
            head
            + row.cumulative.to_bytes(16, "big")
            + row.receipts.to_bytes(32, "big")
            + sig[:32]
            + s.to_bytes(32, "big")
        )


def hex_of(data: bytes) -> str:
    return "0x" + data.hex()
