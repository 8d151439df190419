"""Unit: the text of a systemd unit for one home, made from the shipped one, and whether a file on disk is still that text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from typing import Literal

from xnode.errors import UserError

NAME = "xnode.service"

Role = Literal["provider", "submitter"]

SHIPPED: dict[Role, str] = {"provider": "xnode.service", "submitter": "submitter.service"}
"""Beside this module, by role; each is a whole unit, for packages that put programs and state where it says."""

PROGRAM, HOME, USER = "/usr/bin/xnode", "/var/lib/xnode", "xnode"
"""What the shipped units say, and what is put in its place."""

PASSWORD_VARIABLE = "XNODE_NODE__PASSWORD_FILE"

SYSTEM_ONLY = {
    "CapabilityBoundingSet": "a user's manager may not take capabilities away, and its services have none",
    "LoadCredential": "the password lies with the same user either way",
    "RequiresMountsFor": "a user's manager has no say in mounts",
    "User": "a user's service is that user's",
    "Wants": "network-online.target is the system's",
    "After": "network-online.target is the system's",
}
"""Left out of the unit of a user's own manager, and why."""

HEADER = re.compile(r"# Written by `xnode install systemd`; sha256 of what follows: ([0-9a-f]{64})\n")

_SAFE_PATH = re.compile(r"/[A-Za-z0-9/._@+,=~-]*\Z")


class Standing(Enum):
    """How the file of a unit compares with the one that is to be there."""

    ABSENT = "absent"
    CURRENT = "current"
    OUTDATED = "outdated"
    """As an earlier install wrote it, for other options or by another version."""
    CHANGED = "changed"
    """Not as any install wrote it: a person or another program did."""


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """What makes a shipped unit that of one home. Paths are absolute; password_file "" leaves the password where the settings
    say; user "" is the manager's own; variables: more of the environment."""

    role: Role
    program: str
    home: str
    password_file: str = ""
    user: str = ""
    is_users_own: bool = False
    variables: tuple[tuple[str, str], ...] = ()


def read_shipped(role: Role) -> str:
    """The unit that is shipped for this role."""
    return files(__package__).joinpath(SHIPPED[role]).read_text()


def make_unit(plan: UnitPlan) -> str:
    """The whole file, with a first line that says what it was. Raises UserError where a path cannot stand in a unit."""
    for path in (plan.program, plan.home, plan.password_file, *(value for _, value in plan.variables)):
        if path and not _SAFE_PATH.match(path):
            raise UserError(
                "a path with such characters cannot be written into a unit",
                where=path,
                hint="choose one of a-z, 0-9, . _ - /",
            )
    body = "".join(f"{line}\n" for line in _squeeze(_fill(plan, read_shipped(plan.role).splitlines())))
    return f"# Written by `xnode install systemd`; sha256 of what follows: {_hash(body)}\n{body}"


def compare(found: str | None, wanted: str) -> Standing:
    """found: the file's text, None when there is none."""
    if found is None:
        return Standing.ABSENT
    if found == wanted:
        return Standing.CURRENT
    return Standing.OUTDATED if is_as_written(found) else Standing.CHANGED


def is_as_written(text: str) -> bool:
    """True when nobody has changed a file since an install wrote it."""
    header = HEADER.match(text)
    return header is not None and header[1] == _hash(text[header.end() :])


def _fill(plan: UnitPlan, lines: list[str]) -> Iterator[str]:
    for line in lines:
        key, _, value = line.partition("=")
        is_system_only = key in SYSTEM_ONLY or value.startswith(f"{PASSWORD_VARIABLE}=")
        if plan.is_users_own and is_system_only:
            continue
        if not plan.password_file and (key == "LoadCredential" or value.startswith(f"{PASSWORD_VARIABLE}=")):
            continue
        if key == "User" and plan.user in ("", "root"):
            continue
        yield _fill_line(plan, line, key)
        if value.startswith("XNODE_HOME="):
            yield from (f"Environment={name}={text}" for name, text in plan.variables)


def _fill_line(plan: UnitPlan, line: str, key: str) -> str:
    match key:
        case "ExecStart" | "ExecReload":
            return line.replace(PROGRAM, plan.program)
        case "LoadCredential":
            return f"LoadCredential=node.password:{plan.password_file}"
        case "User":
            return f"User={plan.user}"
        case "WantedBy" if plan.is_users_own:
            return "WantedBy=default.target"
        case "RequiresMountsFor" | "Environment":
            return line.replace(HOME, plan.home)
        case _ if line.startswith("# ") and PROGRAM in line:
            return f"# The node of {plan.home} as a service of systemd."
        case _:
            return line


def _squeeze(lines: Iterator[str]) -> Iterator[str]:
    """Without a second empty line where a paragraph was left out."""
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
