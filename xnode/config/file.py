"""Config file: a node's config.toml on disk, read as a table, and replaced in one step where it is ours to write."""

from __future__ import annotations

import os
import pwd
import re
import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given_text
from xnode.home import Home, make_private

MAX_CONFIG_BYTES = 1 << 20
"""A config has a screenful; more is the wrong file."""

MOUNTS = Path("/proc/self/mountinfo")

PRIVATE = 0o600
"""Mode of a config that is new: a database URL may hold a password."""


def read_table(home: Home) -> dict[str, Any]:
    """config.toml as it is, {} when there is none: the environment alone can configure a node."""
    text = _read_text(home)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"not valid TOML: {error}", where=str(home.config)) from error


def write_config(home: Home, table: Mapping[str, Any]) -> None:
    """Make config.toml say this table. What a person wrote around the values stays: comments, order, commented-out lines.

    A new file has every setting, those left out as a comment with their default. One that says it already is not touched. Raises
    UserError, and then the file is as it was: also where it is not ours to write (see find_declaration).
    """
    # Every command reads; only those that write pay for the models and the TOML writer.
    from xnode.config.document import make_document, next_document

    text = _read_text(home)
    if text.strip() and tomllib.loads(text) == table:
        return
    require_ours(home.config)
    home.make()
    if home.config_file is not None:
        make_private(home.config_file.parent)
    _replace(home.config, next_document(text, table) if text.strip() else make_document(table))


def require_ours(config: Path) -> None:
    """Raise UserError where the settings are declared by somebody else, and name where: by a link into a repository or a store, a
    mount, or a file that another user owns or nobody may write."""
    reason = find_declaration(config)
    if reason:
        raise UserError(
            f"these settings are declared elsewhere, and nothing was changed: {reason}",
            where=str(config),
            hint="change them there, then run `xnode config reload`",
            code=ExitCode.REFUSED,
        )


def find_declaration(config: Path) -> str:
    """Where this file comes from and why it is not ours to replace, in words; "" when it is, and when there is none yet."""
    if config.is_symlink():
        return f"it is a link to {os.path.realpath(config)}"
    try:
        found = config.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    mounted = _find_mount(config)
    if mounted:
        return f"it is mounted there from {mounted}"
    if os.statvfs(config).f_flag & os.ST_RDONLY:
        return f"it is on a read-only file system, in {config.parent}"
    if not _is_our_user(found.st_uid, config):
        return f"it belongs to {_name_of(found.st_uid)}"
    return "" if found.st_mode & stat.S_IWUSR else f"it is read-only, in {config.parent}"


def _is_our_user(owner: int, config: Path) -> bool:
    # Root may change a price of a daemon that runs as another user, to whom file and folder belong.
    return owner == os.geteuid() or (os.geteuid() == 0 and owner == config.parent.stat().st_uid)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _find_mount(config: Path) -> str:
    """What is mounted at the file itself, as its file system names it; "" when nothing is. A bind mount cannot be replaced."""
    place = os.path.realpath(config)
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, _, _, root, point, *_ = line.split(" ")
        if _unescape(point) == place:
            return _unescape(root)
    return ""


def _unescape(text: str) -> str:
    """The kernel writes a space as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)


def _read_text(home: Home) -> str:
    try:
        return read_given_text(home.config, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(home.config)) from error


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        try:
            _write_like(path, new, text)
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        raise UserError(
            f"cannot be replaced, so it stays as it was ({error.strerror})",
            where=str(path),
            hint="change it where it is mounted from, or set XNODE_SECTION__KEY in the environment",
            code=ExitCode.FAILED,
        ) from error


def _write_like(target: Path, new: Path, text: str) -> None:
    """Write the text to `new`, durable, with the mode and the owner that `target` has."""
    found = target.stat() if target.exists() else None
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode) if found else PRIVATE)
        if found:
            # Root may change a price of a daemon that runs as another user, who must be able to read it afterwards.
            with suppress(PermissionError):
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
