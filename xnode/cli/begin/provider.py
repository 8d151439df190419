"""`xnode provider setup`: wallet, node key, settings, registration, running node and first self-test, in one command.

Nothing is remembered of how far it came: each step looks at the home, the chain and the host, and does what is missing. So it may
be killed anywhere, and run again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from xnode.chain.capacity import read_classes
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access
from xnode.cli.access.options import bootstrap_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.begin.funds import require_native
from xnode.cli.begin.host import describe_offer, require_fit
from xnode.cli.begin.questions import Questions
from xnode.cli.begin.running import can_be_service, ensure_running, ensure_service, wait_ready
from xnode.cli.begin.wallet import OpenWallet, open_wallet
from xnode.cli.provider.init import DEFAULT_ASSET, DEFAULT_REGION, find_chain_node, init_provider
from xnode.cli.stake.self_test import challenge_host, make_claims
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.screen import Screen, say
from xnode.config.file import read_table
from xnode.config.settings import ProviderConfig
from xnode.errors import ExitCode, UserError
from xnode.extras import has_module, install
from xnode.faultpoint import reach
from xnode.text.hex import to_hex

FIRST_N = 2048
"""Size of the first self-test's matrices: a second or two on one core, where a challenge that counts takes up to two minutes."""

FIRST_LIMIT_S = 60.0
"""For them, also on a host that is busy with something else."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says. None, "" and (): what is set already, or the default."""

    rpc_url: str | None
    owner: str
    region: str | None
    asset: str | None
    bootstrap: tuple[str, ...]
    password_file: Path | None
    no_service: bool
    no_self_test: bool


@click.command("setup")
@click.option("--chain", "manifest", type=GivenPath(path_type=Path), help="The manifest.  [default: the config's]")
@click.option("--rpc-url", help="The chain node to use; '' is the manifest's.  [default: ''; later what is set]")
@click.option(
    "--owner", default="", envvar="ETH_FROM", help="Wallet that is paid.  [default: the only one, or a new one]"
)
@click.option("--region", help="Where this host is.  [default: asked]")
@click.option("--asset", help="What prices are in.  [default: OPENX]")
@bootstrap_option
@click.option("--no-service", is_flag=True, help="Start it in the background, also where systemd runs.")
@click.option("--no-self-test", is_flag=True, help="Do not multiply matrices to try the devices.")
@click.option("--yes", is_flag=True, help="Ask nothing; a new wallet's password goes into a file of the home.")
@password_option
@output_option
@pass_app
def setup(app: App, /, manifest: Path | None, yes: bool, screen: Screen, **options: Any) -> None:
    """From nothing to a running provider, in one command.

    Wallet, node key, settings from this host's hardware, registration on chain, a running node, a first self-test. It asks
    for a password, the region and your consent. Cut off anywhere and run again, it goes on, and pays nothing twice.
    """
    begun = time.monotonic()
    answer = set_up(app, manifest, Wishes(**options), Questions(yes))
    answer |= {"took_s": round(time.monotonic() - begun, 1)}
    screen.show(answer, lambda: draw_setup(screen, answer))


def set_up(app: App, manifest: Path | None, wishes: Wishes, questions: Questions) -> dict[str, Any]:
    """Do what is missing, and say what there is. Raises UserError at the first step that cannot be done, with what to do
    about it; what was done before it stays."""
    questions.require_someone()
    table = read_table(app.home)
    chain = _find_manifest(app, manifest, table)
    wallet = open_wallet(app, wishes.owner, wishes.password_file, questions.yes)
    reach("setup_wallet")
    access = Access(app, to_hex(wallet.address), chain, rpc_url=find_chain_node(table, wishes.rpc_url))
    symbol = access.manifest.find_asset(wishes.asset or DEFAULT_ASSET).symbol
    region = _choose_region(wishes.region, table, questions)
    offer = require_fit(app, wallet.address, region or DEFAULT_REGION, symbol)
    _agree(app, access, offer, questions)
    require_native(access, chain)
    reach("setup_funds")
    _register(app, chain, wallet, wishes, region)
    reach("setup_registered")
    is_service = can_be_service() and not wishes.no_service
    if is_service:
        ensure_service(app, "provider")
    else:
        ensure_running(app, ("provider", "run"))
    reach("setup_running")
    status = wait_ready(app, "provider")
    tested = _test_devices(access, offer) if not wishes.no_self_test else "not tried"
    return _report(app, status, wallet, tested) | {"service": is_service}


def draw_setup(screen: Screen, answer: dict[str, Any]) -> None:
    """Print what there is now, and what is next."""
    screen.record(
        (
            ("provider", answer["owner"]),
            ("node", answer["node"]),
            ("offers", answer["offers"]),
            ("self-test", answer["self_test"]),
            ("home", answer["home"]),
            ("took", f"{answer['took_s']:g} s"),
        )
    )
    if answer["password_file"]:
        say(f"hint: commands of this wallet read its password with: export ETH_PASSWORD={answer['password_file']}")
    say("next: xnode provider status, and xnode provider price set vcpu_hour=...")


def _find_manifest(app: App, manifest: Path | None, table: dict[str, Any]) -> Path:
    if manifest is not None:
        return manifest
    if "chain" not in table:
        raise UserError(
            "no market is named",
            where="--chain",
            hint="give the file with the market's contracts: --chain MANIFEST (one of your own: xnode devnet up)",
        )
    return app.load_config().chain.manifest


def _choose_region(region: str | None, table: dict[str, Any], questions: Questions) -> str | None:
    """None where one is set already."""
    if region is not None or table.get("provider", {}).get("region"):
        return region
    return questions.ask("Where is this host (others search by it)?", DEFAULT_REGION)


def _agree(app: App, access: Access, offer: ProviderConfig, questions: Questions) -> None:
    """Ask before anything is paid; not again once it was."""

    async def is_registered(reads: ChainReads) -> bool:
        return (await reads.registration(access.address)).node_key is not None

    if access.look(is_registered):
        return
    if not questions.yes:
        say(f"will offer {describe_offer(offer)}")
    questions.agree(
        "Register this host on chain, and start it?",
        f"xnode provider init writes the settings; change them in {app.home.config}",
    )


def _register(app: App, manifest: Path, wallet: OpenWallet, wishes: Wishes, region: str | None) -> None:
    init_provider(
        app,
        manifest,
        rpc_url=wishes.rpc_url,
        owner=to_hex(wallet.address),
        region=region,
        asset=wishes.asset,
        force=False,
        password_file=wallet.password_file,
        bootstrap=wishes.bootstrap,
        password=wallet.password,
    )


def _test_devices(access: Access, offer: ProviderConfig) -> str:
    """A challenge of all that is offered, in the chain's own classes but of small matrices; what came of it, in a line."""
    if not has_module("numpy"):
        say(f"no self-test: numpy is not installed\nhint: {install('numpy')}")
        return "not tried: numpy is not installed"
    classes = access.look(lambda reads: read_classes(reads.rpc, reads.manifest.contracts))
    counts = {"cpu": int(offer.share.vcpus) or 1, "gpu": offer.share.gpus}
    first = {one.kind: number for number, one in reversed(list(enumerate(classes)))}
    wanted = tuple((first[kind], count) for kind, count in counts.items() if count and kind in first)
    if not wanted:
        return "not tried: the chain has no class of these devices"
    results = challenge_host(make_claims(wanted, classes, FIRST_N, FIRST_LIMIT_S))
    failed = [f"device {one.device}: {one.reason}" for one in results if not one.passed]
    if failed:
        raise UserError(
            "\n".join(failed),
            hint="the provider is up, but its devices fail a challenge: see xnode provider self-test --chain",
            code=ExitCode.FAILED,
        )
    return f"{len(results)} of {len(results)} devices pass (n = {FIRST_N}; in full: xnode provider self-test --chain)"


def _report(app: App, status: dict[str, Any], wallet: OpenWallet, tested: str) -> dict[str, Any]:
    provider = app.load_config().provider
    assert provider is not None
    made = wallet.password_file == app.home.wallet_password
    return {
        "owner": to_hex(wallet.address),
        "node": status["node"],
        "offers": describe_offer(provider).partition(", paid to")[0],
        "self_test": tested,
        "home": str(app.home.folder),
        "password_file": str(wallet.password_file) if made else "",
        "pid": status["pid"],
        "version": status["version"],
    }
