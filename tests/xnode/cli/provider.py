"""Provider: a registered provider of a devnet, seen through its command line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from metering.units import Address, Amount
from tests.make.verifiers import Verifiers, make_verifiers
from tests.xnode.cli.conftest import Run, error_lines
from xnode.chain.deployment.manifest import Manifest, read_manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_latest
from xnode.chain.reads import ChainReads
from xnode.errors import ExitCode
from xnode.home import Home
from xnode.text.hex import to_hex
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore
from xnode.wallet.signer import WalletKey


class Provider:
    """A registered provider of a devnet, and its command line."""

    def __init__(self, xnode: Run, home: Home, manifest: str, password: str) -> None:
        self._xnode, self.home, self._manifest = xnode, home, manifest
        self._env = {"ETH_PASSWORD": password}
        # A machine's rounds: a person's would take most of the time of all these commands.
        entry = trio.run(Keystore(home.keystore).make_new, "owner", Path(password).read_text().strip(), MACHINE_ROUNDS)
        assert entry.address is not None
        self.owner = to_hex(entry.address)
        self.run("devnet", "fund", self.owner)
        self.run("provider", "init", "--chain", manifest)

    @property
    def address(self) -> Address:
        return Address(bytes.fromhex(self.owner[2:]))

    def run(self, *arguments: str) -> Any:
        done = self._xnode(*arguments, env=self._env)
        assert done.returncode == 0, done.stderr
        return done

    def ask(self, *arguments: str) -> Any:
        """What a command answers as JSON."""
        return json.loads(self.run(*arguments, "-o", "json").stdout)

    def refuse(self, *arguments: str, code: ExitCode = ExitCode.REFUSED) -> str:
        """The one line that a command fails with."""
        done = self._xnode(*arguments, env=self._env)
        (line,) = [line for line in error_lines(done.stderr) if line.startswith("error: ")]
        assert done.returncode == code, done.stderr
        return str(line)

    def with_verifiers(self, work: Callable[[JsonRpc, Verifiers], Awaitable[object]]) -> None:
        """Run what others do on the chain."""
        manifest = self.deployment

        async def main() -> None:
            with trio.fail_after(60):
                async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
                    await work(rpc, Verifiers(rpc, manifest, self.home.folder))

        trio.run(main)

    def verify(self, *claims: str, flags: tuple[str, ...] = ()) -> None:
        """Have capacity verified as everybody does: by a request, and by the verdicts of those who judge."""
        self.enlist_verifiers()
        words = (word for claim in claims for word in ("--class", claim))
        self.run("provider", "capacity", "request", *words, *flags)
        self.with_verifiers(lambda _rpc, verifiers: verifiers.judge(self.address))

    def enlist_verifiers(self) -> None:
        self.run("devnet", "fund", *(to_hex(one.wallet.address) for one in make_verifiers()))
        self.with_verifiers(lambda _rpc, verifiers: verifiers.enlist())

    def counted_stake(self) -> Amount:
        """What a submitter's node counts as this provider's stake."""
        found: list[Amount] = []

        async def read(rpc: JsonRpc, _verifiers: Verifiers) -> None:
            for one in await ChainReads(rpc, self.deployment).stakes_of([self.address]):
                found.append(Amount(0) if one.in_default else one.amount)

        self.with_verifiers(read)
        return found[0]

    def pass_time(self, seconds: int) -> None:
        async def pass_(rpc: JsonRpc, _verifiers: Verifiers) -> None:
            await rpc.write("evm_increaseTime", hex(seconds))
            await rpc.write("evm_mine")

        self.with_verifiers(pass_)

    def chain_time_s(self) -> int:
        """Of the newest block."""
        found: list[int] = []

        async def read(rpc: JsonRpc, _verifiers: Verifiers) -> None:
            found.append((await rpc.ask(ask_latest())).timestamp)

        self.with_verifiers(read)
        return found[0]

    @property
    def deployment(self) -> Manifest:
        return read_manifest(Path(self._manifest))

    def load_node_key(self) -> WalletKey:
        """The key with which its node signs."""
        return trio.run(Keystore(self.home.node_key).load, "", self.home.password.read_text().strip())
