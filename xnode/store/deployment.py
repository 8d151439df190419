"""Deployment: a store is opened only with the contracts that its unsettled leases count on."""

from __future__ import annotations

from itertools import chain

from metering.units import Hash32
from xnode.errors import ExitCode, UserError
from xnode.node.deployment import is_moved, list_unsettled
from xnode.node.records import NodeSettings, ProviderLease, SubmitterEscrow, SubmitterLease
from xnode.node.state import make_state
from xnode.store.database import open_untouched
from xnode.store.journal import Journal

_SHOWN = 3


def check_deployment_of_store(url: str, separator: Hash32, manifest: str) -> bool:
    """True when the store has leases or escrows under way on the contracts of `separator`.

    Raises UserError when it has money on others, and leaves it untouched, so that the version that can still claim it can
    open it. Blocking."""
    database = open_untouched(url)
    if database is None:
        return False
    try:
        journal = Journal(database)
        state = make_state(journal.load_records(NodeSettings))
        kinds = (ProviderLease, SubmitterLease, SubmitterEscrow)
        unsettled = list_unsettled(make_state(chain.from_iterable(journal.load_records(kind) for kind in kinds)))
    finally:
        database.dispose()
    if unsettled and is_moved(state, separator):
        names = ", ".join(f"0x{one.hex()[:16]}" for one in unsettled[:_SHOWN])
        more = f" and {len(unsettled) - _SHOWN} more" if len(unsettled) > _SHOWN else ""
        raise UserError(
            f"this node has unsettled leases and escrows on other contracts: {names}{more}",
            where=manifest,
            hint="settle them with the manifest, and the version of xnode, that made them; or take a new node.data_dir",
            code=ExitCode.CONFLICT,
        )
    return bool(unsettled)
