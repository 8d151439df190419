"""`xnode install`, `xnode uninstall`: this node as a service of the system."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnode.cli.app import App, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import say
from xnode.errors import ExitCode, UserError
from xnode.home import CONFIG_VARIABLE

if TYPE_CHECKING:
    from xnode.install.systemd import Manager
    from xnode.install.unit import Role, UnitPlan

ROOT = "/"
"""The system that is written to, unless --root names another."""

root_option = click.option(
    "--root",
    type=GivenPath(path_type=Path, exists=True, file_okay=False),
    default=lambda: ROOT,
    help="Write below this folder, for an image.  [default: /]",
)
user_option = click.option("--user", "is_users_own", is_flag=True, help="Of your own service manager, without root.")


@click.group(cls=LazyGroup)
def install() -> None:
    """Make this node a service that starts with the system."""


@install.command("systemd")
@click.option(
    "--role", type=click.Choice(("provider", "submitter")), help="What it runs as.  [default: what is set up]"
)
@user_option
@root_option
@click.option("--now", is_flag=True, help="Also start it, and wait until it is ready.")
@click.option("--force", is_flag=True, help="Also replace a unit that somebody changed; its text is kept.")
@click.option("--dry-run", is_flag=True, help="Print the unit, and write nothing.")
@pass_app
def install_systemd(
    app: App, role: Role | None, is_users_own: bool, root: Path, now: bool, force: bool, dry_run: bool
) -> None:
    """Write a hardened unit for this node directory, and enable it.

    Run again, it brings the unit up to date, and changes nothing that is right.
    """
    from xnode.install.systemd import find_manager, is_active, write_unit
    from xnode.install.unit import Standing, make_unit

    manager = find_manager(root, is_users_own)
    plan = _make_plan(app, role or _find_role(app), is_users_own)
    text = make_unit(plan)
    if dry_run:
        click.echo(text, nl=False)
        return
    if now and not manager.is_live:
        raise UserError("systemd does not run here, so nothing can be started", hint="leave --now out")
    if now and app.control.is_up() and not is_active(manager):
        raise UserError(
            "a daemon runs here already, outside of the service",
            where=str(app.home.control),
            hint="stop it first: xnode daemon stop; workloads go on meanwhile",
            code=ExitCode.CONFLICT,
        )
    _say_writable_program(plan)
    before = write_unit(manager, text, force)
    done = {
        Standing.ABSENT: "wrote",
        Standing.CURRENT: "unchanged:",
        Standing.OUTDATED: "brought up to date:",
        Standing.CHANGED: "replaced, and the text before kept beside it:",
    }
    say(f"{done[before]} {manager.unit}")
    _take_up(app, manager, now)


@click.group(cls=LazyGroup)
def uninstall() -> None:
    """Undo `xnode install`."""


@uninstall.command("systemd")
@user_option
@root_option
@click.option("--force", is_flag=True, help="Also remove a unit that somebody changed; its text is kept.")
@pass_app
def uninstall_systemd(app: App, is_users_own: bool, root: Path, force: bool) -> None:
    """Stop the service and remove its unit. Workloads go on, and the node directory stays."""
    from xnode.install.systemd import call_systemctl, find_manager, remove_unit
    from xnode.install.unit import NAME

    manager = find_manager(root, is_users_own)
    if not remove_unit(manager, force):
        say(f"there is no unit: {manager.unit}")
        return
    if manager.is_live:
        # After the file is gone: a unit that could not be removed goes on as it was.
        call_systemctl(manager, "stop", NAME)
        call_systemctl(manager, "daemon-reload")
    say(f"removed {manager.unit}; the node directory {app.home.folder} stays")


def _find_role(app: App) -> Role:
    from xnode.config.file import read_table

    table = read_table(app.home)
    if not table:
        raise UserError(
            "nothing is set up here, so the role is not known",
            where=str(app.home.folder),
            hint="run `xnode provider init` or `xnode daemon init` first, or name it with --role",
        )
    return "provider" if "provider" in table else "submitter"


def _make_plan(app: App, role: Role, is_users_own: bool) -> UnitPlan:
    from xnode.config.file import read_table
    from xnode.install.unit import UnitPlan

    if role == "provider" and is_users_own:
        raise UserError(
            "a provider needs root: containers get cgroups and disks of their own",
            hint="leave --user out, and run it as root",
        )
    node = read_table(app.home).get("node", {})
    named = node.get("password_file", "") if isinstance(node, dict) else ""
    return UnitPlan(
        role=role,
        program=find_program(),
        home=str(app.home.folder),
        password_file=str(app.home.folder / named if named else app.home.password),
        user="" if role == "provider" or is_users_own else find_owner(app.home.folder),
        is_users_own=is_users_own,
        variables=((CONFIG_VARIABLE, str(app.home.config_file)),) if app.home.config_file else (),
    )


def find_program() -> str:
    """The xnode beside the Python that runs this, which is the one that was called. Its links are kept: an upgrade turns them."""
    program = Path(sys.executable).with_name("xnode")
    if not program.is_file():
        raise UserError(
            "there is no xnode program beside this Python",
            where=str(program),
            hint="install the package; a checkout has it in .venv/bin after `make python`",
            code=ExitCode.NOT_FOUND,
        )
    return str(program)


def find_owner(home: Path) -> str:
    """Whose home it is: the user that a submitter's service runs as."""
    try:
        return pwd.getpwuid(home.stat().st_uid).pw_name
    except (FileNotFoundError, KeyError):
        return pwd.getpwuid(os.getuid()).pw_name


def _say_writable_program(plan: UnitPlan) -> None:
    owner = Path(plan.program).stat().st_uid
    if owner != 0 and not plan.is_users_own and plan.user in ("", "root"):
        say(f"note: {plan.program} is not root's, and whoever can write it becomes root through this service")


def _take_up(app: App, manager: Manager, now: bool) -> None:
    from xnode.install.systemd import call_systemctl
    from xnode.install.unit import NAME

    if not manager.is_live:
        say("enabled; it starts with the system")
        return
    call_systemctl(manager, "daemon-reload")
    if not now:
        is_up = app.control.is_up()
        first = "xnode daemon stop, then " if is_up else ""
        say(f"enabled; next: {first}{manager.systemctl} {'restart' if is_up else 'start'} xnode")
        return
    call_systemctl(manager, "restart", NAME)
    say(f"ready; see: {manager.systemctl} status xnode")
