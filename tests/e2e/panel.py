"""Panel: a real chain, a provider, and the verifiers that judge it: each its own process, over libp2p."""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

import trio

from examples.localnet import Localnet, Node
from metering.capacity import CapacityAnswer, SignedVerdict, Verdict
from metering.codec import decode
from metering.eip712 import keccak
from metering.units import Address, Amount, Hash32
from tests.e2e.market import die_at, find_point, wait_until
from xnode.chain.abi.codec import decode_values, topic_of
from xnode.chain.capacity import Verification, read_challenge, read_settings, read_verification
from xnode.chain.contracts import capacity_registry, openx_token
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.deployment.devnet import OWNER_KEY
from xnode.chain.deployment.manifest import Manifest, read_manifest
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import enlist, request_challenge
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.send.transactor import Pace
from xnode.chain.send.tx_journal import make_engine
from xnode.cli.node.setup import make_node_key
from xnode.cli.provider.prices import DEFAULT_PRICES
from xnode.config.file import write_config
from xnode.home import Home
from xnode.net.identity import peer_id_text_of
from xnode.ports.capacity import Challenge
from xnode.text.hex import parse_hex, to_hex
from xnode.wallet.keystore import Keystore
from xnode.wallet.signer import NodeSigner, WalletKey

BLOCK_TIME_S = 0.5
NAMES = ("provider", "verifier-1", "verifier-2", "verifier-3")
VCPUS = 2
STAKE = Amount(200 * 10**18)
WEI = 10**19


@dataclass(frozen=True)
class Member:
    """One provider of the network: its wallet, its node key, and its daemon."""

    owner: WalletKey
    key: WalletKey
    node: Node


@dataclass
class Panel:
    """Use it within its Localnet. The first member is the one that is challenged; the others are verifiers."""

    net: Localnet
    manifest: Manifest
    members: tuple[Member, ...]
    _armed: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def open(cls, net: Localnet) -> Panel:
        """Start all of it: as the command line would set it up, but at once."""
        net.start_chain(BLOCK_TIME_S)
        manifest = read_manifest(net.manifest)
        ports = [_find_port() for _ in NAMES]
        keys = [_make_key(net.folder / name) for name in NAMES]
        members = tuple(
            Member(WalletKey(secrets.token_bytes(32)), key, Node(name, Home(net.folder / name), ("provider", "run")))
            for name, key in zip(NAMES, keys, strict=True)
        )
        first = f"/ip4/127.0.0.1/tcp/{ports[0]}/p2p/{peer_id_text_of(keys[0].expose_secret())}"
        for member, port in zip(members, ports, strict=True):
            write_config(member.node.home, _make_table(net, member, port, () if port == ports[0] else (first,)))
            net.nodes[member.node.name] = member.node
        panel = cls(net, manifest, members)
        trio.run(panel._register_all)
        with ThreadPoolExecutor(len(members)) as starters:
            list(starters.map(panel.start, members))
        return panel

    @property
    def challenged(self) -> Member:
        return self.members[0]

    @property
    def verifiers(self) -> tuple[Member, ...]:
        return self.members[1:]

    # ------------------------------------------------------------------------------------------------------------ nodes

    def start(self, member: Member) -> None:
        """Start its daemon; returns when it answers."""
        self.net.start(member.node, **die_at(member.node))

    def start_cheating(self, member: Member) -> None:
        """Start it as tests.e2e.cheat."""
        member.node.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.cheat", *member.node.command],
            env={**os.environ, "XNODE_HOME": str(member.node.home.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(member.node.control.is_up, "the cheater starts")

    def arm(self, member: Member, point: str) -> None:
        """Make the node die, once, when it next reaches this point."""
        part = find_point(member.node).with_suffix(".part")
        part.write_text(point)
        part.replace(find_point(member.node))
        assert member.node.process is not None
        self._armed.append(member.node.process)

    def revive_all(self) -> None:
        """Start every node again that has died, until every armed node has died once and all are up."""

        def look() -> bool:
            for member in self.members:
                if member.node.process is None or member.node.process.poll() is not None:
                    self.start(member)
            return all(process.poll() is not None for process in self._armed)

        wait_until(look, "every armed node dies")
        self._armed.clear()
        # The last of them to die may have done so after it was looked at.
        look()

    def read_promises(self, member: Member, kind: str) -> dict[bytes, bytes]:
        """Value by subject, as they are on the node's disk."""
        with closing(sqlite3.connect(f"file:{member.node.home.data / 'xnode.db'}?mode=ro", uri=True)) as database:
            return dict(database.execute("select subject, value from promise where kind = ?", (kind,)).fetchall())

    # ------------------------------------------------------------------------------------------------------------ chain

    def request(self) -> Hash32:
        """Have the challenged provider challenged; the challenge's id."""
        return trio.run(self._request)

    def read(self) -> Verification:
        """What the chain says of the challenged provider."""
        return trio.run(self._read)

    def read_challenge(self, challenge_id: Hash32) -> Challenge:
        """The challenge as it is now."""
        return trio.run(self._read_challenge, challenge_id)

    def wait_over(self, challenge_id: Hash32) -> Challenge:
        """The challenge when it is decided."""
        wait_until(lambda: self.read_challenge(challenge_id).stage not in ("requested", "drawn"), "the verdicts")
        return self.read_challenge(challenge_id)

    def read_recorded(self) -> dict[Address, SignedVerdict]:
        """The verdicts of the last record transaction, as they stand in its calldata, by verifier."""
        return trio.run(self._read_recorded)

    def read_stake(self) -> int:
        """The challenged provider's stake."""
        return trio.run(self._read_stake)

    def find_promised_roots(self, challenge: Challenge) -> list[Hash32]:
        """The roots that the challenged node has promised."""
        subject = keccak(challenge.challenge_id + challenge.seed + bytes(4))
        promised = self.read_promises(self.challenged, "CapacityAnswers")[subject]
        return [answer.root for answer in decode(promised, tuple[CapacityAnswer, ...])]

    def find_promised_verdict(self, member: Member, challenge_id: Hash32) -> Verdict:
        """What a verifier has promised."""
        return decode(self.read_promises(member, "Verdict")[challenge_id], Verdict)

    def _rpc(self) -> JsonRpc:
        return JsonRpc(self.manifest.rpc_url, self.manifest.chain_id)

    async def _register_all(self) -> None:
        async with self._rpc() as rpc:
            holder = WalletKey(OWNER_KEY).address
            token = self.manifest.contracts.openx_token
            for member in self.members:
                for address in (member.owner.address, member.key.address):
                    await rpc.write("anvil_setBalance", to_hex(address), hex(WEI))
                data = openx_token.TRANSFER.encode(member.owner.address, 2 * STAKE)
                await rpc.write(
                    "eth_sendTransaction", {"from": to_hex(holder), "to": to_hex(token), "data": to_hex(data)}
                )
            await rpc.write("evm_mine")
        async with trio.open_nursery() as nursery:
            for member in self.members:
                nursery.start_soon(self._register, member)

    async def _register(self, member: Member) -> None:
        async with self._open_session(member) as session:
            signer = NodeSigner(member.key, self.manifest.domain)
            deadline = await session.chain_time_s() + 3600
            consent = signer.sign_node_key(self.manifest.registry_domain, member.owner.address, 0, deadline)
            await register_provider(session, "register", member.key.address, deadline, consent)
            if member is self.challenged:
                await add_stake(session, "stake", STAKE)
            else:
                await add_stake(session, "pledge", STAKE, Role.VERIFIER)
                await enlist(session, "enlist")

    def _open_session(self, member: Member) -> AbstractAsyncContextManager[WalletSession]:
        engine = make_engine(self.net.folder / f"{member.node.name}.wallet.sqlite")
        return open_session(self.manifest, member.owner, engine, pace=Pace(poll_interval_s=0.1))

    async def _request(self) -> Hash32:
        provider = self.challenged.owner.address
        async with self._open_session(self.challenged) as session:
            return await _request(session, provider)

    async def _read(self) -> Verification:
        async with self._rpc() as rpc:
            return await read_verification(rpc, self.manifest.contracts, self.challenged.owner.address)

    async def _read_challenge(self, challenge_id: Hash32) -> Challenge:
        async with self._rpc() as rpc:
            return await read_challenge(rpc, self.manifest.contracts.capacity_registry, challenge_id)

    async def _read_recorded(self) -> dict[Address, SignedVerdict]:
        registry = self.manifest.contracts.capacity_registry
        topic = topic_of("CapacityRegistry", "VerdictsRecorded")
        query = {"address": to_hex(registry), "topics": [to_hex(topic)], "fromBlock": "0x0"}
        async with self._rpc() as rpc:
            last = (await rpc.read("eth_getLogs", query))[-1]
            sent = await rpc.read("eth_getTransactionByHash", last["transactionHash"])
        data = parse_hex(sent["input"])
        _, _, members, verdicts, signatures = decode_values(capacity_registry.RECORD.entry.inputs, data[4:])
        return {
            Address(member): SignedVerdict(Verdict(*verdict), signature)
            for member, verdict, signature in zip(members, verdicts, signatures, strict=True)
        }

    async def _read_stake(self) -> int:
        from xnode.chain.contracts import provider_registry

        async with self._rpc() as rpc:
            registry = self.manifest.contracts.provider_registry
            return int(await rpc.view(registry, provider_registry.STAKE_OF, self.challenged.owner.address))


async def _request(session: WalletSession, provider: Address) -> Hash32:
    contracts = session.manifest.contracts
    price = (await read_settings(session.rpc, contracts)).price_of(VCPUS)
    await request_challenge(session, f"challenge/{secrets.token_hex(4)}", ((0, VCPUS),), price)
    verification = await read_verification(session.rpc, contracts, provider)
    if verification.open_challenge is not None:
        return verification.open_challenge
    raise AssertionError("the challenge is not open")


def _make_key(folder: Path) -> WalletKey:
    home = Home(folder)
    if not home.node_key.exists():
        make_node_key(home, home.password)
    return trio.run(Keystore(home.node_key).load, "", home.password.read_text().strip())


def _make_table(net: Localnet, member: Member, port: int, bootstrap: tuple[str, ...]) -> dict[str, dict[str, object]]:
    return {
        "chain": {"manifest": str(net.manifest)},
        "node": {"listen": [f"/ip4/127.0.0.1/tcp/{port}"], "bootstrap": list(bootstrap)},
        "provider": {
            "owner": to_hex(member.owner.address),
            "region": "eu",
            "asset": "OPENX",
            "prices": DEFAULT_PRICES,
            "share": {"vcpus": 1.0, "memory": "512MiB", "disk": "1GiB"},
        },
    }


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
