"""`xnode provider profile`: this host's hardware and the hash of it that the chain knows, its software and declared settings."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from metering.codec import encode
from metering.eip712 import keccak
from metering.units import Address, Hash32
from scheduler.offer import HardwareProfile
from xnode import __version__
from xnode.chain.contracts import provider_registry
from xnode.chain.intents.registration import set_profile
from xnode.chain.intents.session import WalletSession
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import owner_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_id, brief_settings, brief_size
from xnode.cli.terminal.screen import Screen, say
from xnode.control.views import SettingsView
from xnode.runtime.host.hardware import probe_hardware
from xnode.text.hex import to_hex


@click.command("profile")
@click.option("--publish", is_flag=True, help="Set the hash on chain to that of this host.")
@owner_options
@output_option
@pass_app
def profile(app: App, /, publish: bool, screen: Screen, **options: Any) -> None:
    """Show this host's hardware, and its hash on chain.

    Also the software and the settings that its offer names, and since when they are unchanged.
    """
    access, found = Access.of_owner(app, **options), find_profile(app)

    async def work(session: WalletSession) -> Hash32:
        await publish_profile(session, found)
        return await _read(session, session.address)

    published = access.act(work) if publish else access.look(lambda reads: _read(reads, access.address))
    answer = make_answer(found, published) | find_declared(app)
    screen.show(answer, lambda: draw_profile(screen, answer))


def find_profile(app: App) -> HardwareProfile:
    """What the node of this home advertises."""
    folder = app.load_config().node.data_dir
    while not folder.exists():
        folder = folder.parent
    return probe_hardware(folder)


def find_declared(app: App) -> dict[str, Any]:
    """Software and settings as the daemon runs with them; without a daemon as they are declared, and since when is not known."""
    if app.control.is_up():
        node = app.control.call("node.status")
        return {"software": f"xnode/{node['version']}", "is_running": True, "settings": node.get("settings")}
    from xnode.config.comparison import settings_hash_of

    config = app.load_config()
    settings = SettingsView(str(config.home.config), to_hex(settings_hash_of(config)), 0)
    return {"software": f"xnode/{__version__}", "is_running": False, "settings": msgspec.to_builtins(settings)}


def profile_hash_of(found: HardwareProfile) -> Hash32:
    """keccak of the canonical bytes of the profile in an offer, but for the free disk, which changes by the minute."""
    return keccak(encode(msgspec.structs.replace(found, disk_bytes=0)))


async def publish_profile(session: WalletSession, found: HardwareProfile) -> None:
    """Set the provider's profile hash, unless it is the same already."""
    due = profile_hash_of(found)
    if await _read(session, session.address) != due:
        say("publishing the hash of this host's hardware profile ...")
        await set_profile(session, make_intent("profile"), due)


def make_answer(found: HardwareProfile, published: Hash32) -> dict[str, Any]:
    """The profile and both hashes as plain data."""
    due = profile_hash_of(found)
    return {
        "profile": msgspec.to_builtins(found),
        "hash": to_hex(due),
        "published": to_hex(published) if any(published) else "",
        "is_published": due == published,
    }


def draw_profile(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a profile."""
    found = answer["profile"]
    gpus = ", ".join(gpu["model"] if isinstance(gpu, dict) else gpu[1] for gpu in found["gpus"])
    screen.record(
        (
            ("cpu", f"{found['cpu_model']}, {found['cpu_cores']} cores, {found['cpu_threads']} threads"),
            ("memory", brief_size(found["memory_bytes"])),
            ("disk", brief_size(found["disk_bytes"])),
            ("GPUs", gpus or "none"),
            ("kernel", f"{found['kernel']}, {found['architecture']}"),
            ("hash", answer["hash"]),
            ("on chain", "the same" if answer["is_published"] else answer["published"] or "none"),
            ("software", answer["software"]),
            ("settings", _describe_settings(answer)),
        )
    )
    if not answer["is_published"]:
        say("next: xnode provider profile --publish")


def _describe_settings(answer: dict[str, Any]) -> str:
    settings = msgspec.convert(answer["settings"], SettingsView | None)
    if settings is not None and not answer["is_running"]:
        return f"declared ({brief_id(settings.hash)}), and no daemon runs with them now"
    return brief_settings(settings)


async def _read(reads: ChainReads, provider: Address) -> Hash32:
    registry = reads.manifest.contracts.provider_registry
    return await reads.rpc.view(registry, provider_registry.PROFILE_OF, provider)
