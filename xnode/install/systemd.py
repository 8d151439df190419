"""Systemd: where a unit goes on this host, written and removed there; a file that somebody changed is kept."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from xnode.durable import replace_file
from xnode.errors import ExitCode, UserError, describe_os_error
from xnode.install.unit import NAME, Standing, compare, is_as_written

DEADLINE_S = 660.0
"""For one call of systemctl: a start may take the ten minutes, and a stop the one, that the unit gives the daemon."""

MAX_UNIT_BYTES = 1 << 16

VENDOR = ("usr/lib/systemd", "lib/systemd")
"""Where packages put their units: one of ours in /etc would hide theirs."""

KEPT = f"{NAME}.before"
"""Beside the unit: the text that a person wrote and --force replaced. systemd reads no such name."""


@dataclass(frozen=True, slots=True)
class Manager:
    """One systemd. folder: of its units; target: what starts them; is_live: it runs here, and systemctl reaches it."""

    root: Path
    folder: Path
    target: str
    is_users_own: bool
    is_live: bool

    @property
    def unit(self) -> Path:
        return self.folder / NAME

    @property
    def link(self) -> Path:
        """What enables the unit."""
        return self.folder / f"{self.target}.wants" / NAME

    @property
    def systemctl(self) -> str:
        """The command as a person types it."""
        return "systemctl --user" if self.is_users_own else "systemctl"


def find_manager(root: Path, is_users_own: bool) -> Manager:
    """The system's at this root, or that of the calling user, whose folders are not below it. Raises UserError for a root that is
    not a folder."""
    if not root.is_dir():
        raise UserError("not a folder", where=str(root), hint="name the root of the image")
    if is_users_own:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        is_live = bool(runtime) and Path(runtime, "systemd", "private").exists()
        return Manager(root, base / "systemd" / "user", "default.target", True, is_live)
    is_live = root == Path("/") and Path("/run/systemd/system").is_dir()
    return Manager(root, root / "etc/systemd/system", "multi-user.target", False, is_live)


def read_unit(manager: Manager) -> str | None:
    """The unit's text, None when there is none. Raises UserError for what is not a file of a unit's size."""
    path = manager.unit
    if path.is_symlink():
        raise UserError(
            f"it is a link to {path.readlink()}: the unit is declared there, or masked",
            where=str(path),
            hint="change it where it comes from, or remove the link",
            code=ExitCode.CONFLICT,
        )
    try:
        with path.open("rb") as file:
            return file.read(MAX_UNIT_BYTES).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path), code=ExitCode.FAILED) from error


def find_packaged(manager: Manager) -> Path | None:
    """A unit of the same name that a package brought."""
    kind = "user" if manager.is_users_own else "system"
    places = (manager.root / one / kind / NAME for one in VENDOR)
    return next((place for place in places if place.is_file()), None)


def write_unit(manager: Manager, text: str, force: bool) -> Standing:
    """Put the unit there and enable it; how it stood before. Raises UserError, and then all is as it was."""
    packaged, found = find_packaged(manager), read_unit(manager)
    standing = compare(found, text)
    if packaged is not None and standing is Standing.ABSENT and not force:
        raise UserError(
            "a package brought the unit already, and one of ours would hide it",
            where=str(packaged),
            hint=f"use it: {manager.systemctl} enable --now xnode; to change it: {manager.systemctl} edit xnode",
            code=ExitCode.CONFLICT,
        )
    if standing is Standing.CHANGED and not force:
        raise _changed(manager, "replaced")
    try:
        manager.folder.mkdir(parents=True, exist_ok=True)
        if standing is Standing.CHANGED and found is not None:
            replace_file(manager.folder / KEPT, found)
        if standing is not Standing.CURRENT:
            replace_file(manager.unit, text)
            manager.unit.chmod(0o644)
        manager.link.parent.mkdir(exist_ok=True)
        if not manager.link.is_symlink():
            manager.link.symlink_to(f"../{NAME}")
    except OSError as error:
        raise _unwritable(manager, error) from error
    return standing


def remove_unit(manager: Manager, force: bool) -> bool:
    """Take the unit away again; False when there was none. Raises UserError, and then all is as it was."""
    found = read_unit(manager)
    if found is None:
        return False
    if not is_as_written(found) and not force:
        raise _changed(manager, "removed")
    try:
        if not is_as_written(found):
            replace_file(manager.folder / KEPT, found)
        manager.link.unlink(missing_ok=True)
        manager.unit.unlink()
        if not any(manager.link.parent.iterdir()):
            manager.link.parent.rmdir()
    except OSError as error:
        raise _unwritable(manager, error) from error
    return True


def is_active(manager: Manager) -> bool:
    """True while the live manager runs the unit, or is about to."""
    try:
        call_systemctl(manager, "is-active", "--quiet", NAME)
    except UserError:
        return False
    return True


def call_systemctl(manager: Manager, *words: str) -> None:
    """Have the live manager do this. Raises UserError with its first line."""
    scope = ("--user",) if manager.is_users_own else ()
    command = ("systemctl", *scope, *words)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    except FileNotFoundError:
        raise UserError("systemctl is not installed", hint="install systemd", code=ExitCode.FAILED) from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"`{' '.join(command)}` took longer than {DEADLINE_S:g} s",
            hint=f"see: {manager.systemctl} status xnode",
            code=ExitCode.TIMEOUT,
        ) from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise UserError(
            lines[0],
            where=f"`{' '.join(command)}`",
            hint=f"see: {manager.systemctl} status xnode",
            code=ExitCode.FAILED,
        )


def _changed(manager: Manager, what: str) -> UserError:
    return UserError(
        f"somebody changed this unit since it was written, so it is not {what}",
        where=str(manager.unit),
        hint=f"keep changes in `{manager.systemctl} edit xnode` instead; --force goes on, and keeps this text as {KEPT}",
        code=ExitCode.CONFLICT,
    )


def _unwritable(manager: Manager, error: OSError) -> UserError:
    hint = "run it as root, or with --user; where /etc cannot be written, put what --dry-run prints into the image"
    return UserError(describe_os_error(error), hint="" if manager.is_users_own else hint, code=ExitCode.FAILED)
