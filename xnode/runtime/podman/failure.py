"""Failure: what a container that did not start says of whether another try may work."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from xnode.errors import Permanent, Retryable
from xnode.runtime.conmon.logs import parse_records
from xnode.runtime.host.program import last_line

TRANSIENT = (
    "cannot allocate memory",
    "conmon",
    "database is locked",
    "device or resource busy",
    "input/output error",
    "interrupted system call",
    "is in use",
    "no space left on device",
    "resource temporarily unavailable",
    "text file busy",
    "timed out",
    "timeout",
    "too many open files",
)
"""What passes with the host's load; everything else that a start can fail with is in the job or its image."""

SAME_FAILURES_MAX = 3
"""A failure of a kind that we do not know may pass too; three times the same one does not."""

_EXECUTABLE = "make the file executable (chmod +x), and readable for the image's user"

KNOWN = (
    ("not found", "its command is not in the image", "check the command, and that the image has it"),
    ("executable: permission denied", "its command is not executable", _EXECUTABLE),
    ('": permission denied', "its command is not executable", _EXECUTABLE),
    ("executable: operation not permitted", "its command cannot be run", "name a program, not a folder"),
    ("workdir", "its working folder is missing", "create the folder in the image, or set another WORKDIR"),
    (
        "unable to find user",
        "its user is not known",
        "add the user to the image's /etc/passwd, or set USER to a number",
    ),
    (
        "unable to find group",
        "its group is not known",
        "add the group to the image's /etc/group, or set USER to a number",
    ),
    ("cdi devices", "", "the provider must run `nvidia-ctk cdi generate`"),
)
"""(what the engine says, what of it the submitter is told, what to do)."""

IN_THE_IMAGE = ("executable file", "open executable", "workdir", "unable to find user", "unable to find group")
"""Of what lasts, what is so at every provider; the rest may lie in this host's set-up, and another may do better."""

MAX_FAULT_BYTES = 4_096
"""The most that a runtime's one line has; a longer log is a workload's."""

EXEC_FAULT = re.compile(r'(?:\{"msg":")?(exec (?:container process|/)[^"\n]*: [^"\n]*)(?:","level":"error"[^\n]*)?')
"""What crun and runc write: {"msg":"exec container process `/x`: Exec format error","level":"error",...}."""

NOISE = re.compile(r"^Error: |^(?:xnode|crun|runc): |: OCI (?:runtime|permission|not found)\b.*$")
"""What podman puts around the reason."""


def make_failure(what: str, status: int, stderr: bytes, same_before: int) -> Permanent | Retryable:
    """The fault that a failed `podman run` amounts to. same_before: how often in a row it has failed just so."""
    reason = clean_reason(stderr)
    lower = reason.lower()
    own, hint = next(((own, hint) for word, own, hint in KNOWN if word in lower), ("", ""))
    # What is known to be lasting comes first: a command may be called as anything.
    if status in (126, 127) and hint:
        is_jobs = any(word in lower for word in IN_THE_IMAGE)
        told = f"{what}: {own}; {hint}" if is_jobs else _hide(what, reason)
        return Permanent(f"{what}: {reason}", code="job" if is_jobs else "failed", hint=hint, told=told)
    if any(word in lower for word in TRANSIENT):
        return Retryable(f"{what}: {reason}")
    if status in (126, 127) or same_before + 1 >= SAME_FAILURES_MAX:
        return Permanent(f"{what}: {reason}", hint=hint, told=_hide(what, reason))
    return Retryable(f"{what}: {reason}")


def _hide(what: str, reason: str) -> str:
    """The engine's words name places of this host. That two providers have the same reason is still to be seen: then it lies
    in the job."""
    return f"{what}: fault {hashlib.sha256(reason.encode()).hexdigest()[:8]}, which this provider's log explains"


def clean_reason(stderr: bytes) -> str:
    """The engine's own reason, without its name and its own words around it."""
    reason = last_line(stderr)
    while (shorter := NOISE.sub("", reason)) != reason:
        reason = shorter
    return reason


def read_exec_fault(log: Path) -> str:
    """Why the OCI runtime could not run the program of a container that it had started already, "" when it could.

    It says so as the first and only line of the workload's own log, in words of its own.
    """
    try:
        with log.open("rb") as file:
            text = parse_records(file.read(MAX_FAULT_BYTES))[0].decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    found = EXEC_FAULT.fullmatch(text)
    return found[1] if found else ""
