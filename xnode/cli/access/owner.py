"""Owner: the wallet that a provider is, as its commands open it; by default the one in the home's config."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xnode.cli.app import App
from xnode.cli.terminal.password import password_option
from xnode.config.file import read_table

if TYPE_CHECKING:
    from metering.units import Address
    from xnode.chain.payer import Payer
    from xnode.cli.access.deployment import Deployment

Command = TypeVar("Command", bound=Callable[..., Any])

_from_option = click.option(
    "--from", "wallet", envvar="ETH_FROM", default="", help="The provider's wallet.  [default: the config's owner]"
)
chain_option = click.option(
    "--chain", "manifest", type=click.Path(path_type=Path), help="The deployment's manifest.  [default: the config's]"
)


def owner_options(command: Command) -> Command:
    """Adds --from, --chain and --password-file: what an Owner is made of."""
    for option in (_from_option, chain_option, password_option):
        command = option(command)
    return command


@dataclass(frozen=True)
class Owner:
    """A provider's wallet and chain. wallet: "" for the config's owner; manifest: None for the config's."""

    app: App
    wallet: str = ""
    manifest: Path | None = None
    password_file: Path | None = None

    def find_deployment(self) -> Deployment:
        """The contracts and a chain node."""
        from xnode.cli.access.deployment import find_deployment

        return find_deployment(self.app, self.manifest)

    def find_address(self) -> Address:
        """The provider, without its password."""
        from xnode.cli.money.wallet import find_address

        return find_address(self.app, self._name())

    def open(self, deployment: Deployment) -> AbstractAsyncContextManager[Payer]:
        """The wallet, opened to pay."""
        from xnode.cli.access.purse import open_purse

        return open_purse(self.app, deployment, self._name(), self.password_file)

    def _name(self) -> str:
        return self.wallet or str(read_table(self.app.home).get("provider", {}).get("owner", ""))
