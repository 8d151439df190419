"""Control methods about the settings: what runs, what is declared now, and how to take it."""

from __future__ import annotations

from collections.abc import Iterable

from xnode.config.comparison import Difference
from xnode.console.console import Console
from xnode.console.method import NoParams, control_method
from xnode.control.views import DifferenceRow, SettingsView
from xnode.errors import UserError
from xnode.text.hex import to_hex


async def describe_settings(console: Console) -> SettingsView:
    """What the node runs with, and how it differs from what is declared now."""
    state, declared = console.loop.state, console.declared
    differing: tuple[str, ...] = ()
    problem = ""
    try:
        differing = tuple(one.name for one in await declared.find_differences())
    except UserError as error:
        problem = error.sentence.splitlines()[0]
    return SettingsView(
        declared_in=str(declared.running.home.config),
        hash=to_hex(state.settings.settings_hash),
        unchanged_since_ns=state.settings.unchanged_since_ns,
        differing=differing,
        problem=problem,
    )


@control_method("config.diff")
async def diff(console: Console, _params: NoParams) -> list[DifferenceRow]:
    """What is declared otherwise than it runs, by the file and the environment of the daemon."""
    return _make_rows(await console.declared.find_differences())


@control_method("config.reload")
async def reload(console: Console, _params: NoParams) -> list[DifferenceRow]:
    """Take what is declared now, in whole or not at all; what became different."""
    return _make_rows(await console.declared.reload())


def _make_rows(differences: Iterable[Difference]) -> list[DifferenceRow]:
    return [DifferenceRow(one.name, one.before, one.after, one.is_live) for one in differences]
