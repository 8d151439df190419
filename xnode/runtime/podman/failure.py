"""Failure: what a container that did not start says of whether another try may work."""

from __future__ import annotations

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

HINTS = (
    ("not found", "check the command, and that the image has it"),
    ("executable: permission denied", "make the file executable (chmod +x), and readable for the image's user"),
    ('": permission denied', "make the file executable (chmod +x), and readable for the image's user"),
    ("executable: operation not permitted", "name a program, not a folder"),
    ("workdir", "create the folder in the image, or set another WORKDIR"),
    ("unable to find user", "add the user to the image's /etc/passwd, or set USER to a number"),
    ("unable to find group", "add the group to the image's /etc/group, or set USER to a number"),
    ("cdi devices", "the provider must run `nvidia-ctk cdi generate`"),
)

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
    hint = next((hint for word, hint in HINTS if word in lower), "")
    # What is known to be lasting comes first: a command may be called as anything.
    if status in (126, 127) and hint:
        is_jobs = any(word in lower for word in IN_THE_IMAGE)
        return Permanent(f"{what}: {reason}", code="job" if is_jobs else "failed", hint=hint)
    if any(word in lower for word in TRANSIENT):
        return Retryable(f"{what}: {reason}")
    if status in (126, 127) or same_before + 1 >= SAME_FAILURES_MAX:
        return Permanent(f"{what}: {reason}", hint=hint)
    return Retryable(f"{what}: {reason}")


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
