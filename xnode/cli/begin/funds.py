"""Funds: money for a new node's wallet: a devnet gives it, and elsewhere it is said what to send where."""

from __future__ import annotations

from pathlib import Path

from metering.units import Address
from xnode.cli.access.access import Access
from xnode.cli.terminal.screen import say
from xnode.control.client import Control
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex

SOCKET = "devnet.sock"
"""Beside the manifest of a devnet that runs on this machine."""

FUND_DEADLINE_S = 60.0
"""Two transactions on a chain that makes a block each second."""


def fund_from_devnet(manifest: Path, address: Address) -> bool:
    """Have the devnet whose manifest this is fill the wallet up; False where none runs here."""
    control = Control(manifest.expanduser().absolute().parent / SOCKET)
    if not control.path.exists() or not control.is_up():
        return False
    say(f"the devnet fills {to_hex(address)} up ...")
    control.call("devnet.fund", {"addresses": [to_hex(address)]}, deadline_s=FUND_DEADLINE_S)
    return True


def require_native(access: Access, manifest: Path) -> None:
    """Raise UserError when the wallet cannot pay for a transaction, on a devnet only after it was filled up."""

    def has_some() -> bool:
        return access.look(lambda reads: reads.native_balance(access.address)) > 0

    if has_some() or (fund_from_devnet(manifest, access.address) and has_some()):
        return
    raise UserError(
        "the wallet has no gas: registering is paid in the chain's native token",
        where=to_hex(access.address),
        hint=f"send some to {to_hex(access.address)}, and run this again: it goes on where it was",
        code=ExitCode.FUNDS,
    )
