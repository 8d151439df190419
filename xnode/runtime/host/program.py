"""Program: the host's tools: where they are found, and what of their messages is repeated."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from xnode.distribution import PACKAGES, install_command
from xnode.errors import Permanent, Retryable

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

OUTPUT_LIMIT_CHARS = 400
"""How much of a tool's own message goes into ours."""


def find_program(name: str) -> Path:
    """Where a program is on our search path; Permanent with its name when it is not there."""
    for folder in ("/usr/libexec/podman", "/usr/lib/podman", *SEARCH_PATH.split(":")):
        path = Path(folder) / name
        if os.access(path, os.X_OK):
            return path
    raise Permanent(f"{name} is not installed", hint=_how_to_get(name))


def run_tool(*command: str, deadline_s: float, text: str = "") -> str:
    """What a host's tool printed that was run with `text` as its input. Blocks.

    Raises Permanent when it is not installed, Retryable when it fails.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            env={"PATH": SEARCH_PATH},
            capture_output=True,
            timeout=deadline_s,
            check=False,
        )
    except FileNotFoundError:
        raise Permanent(f"{command[0]} is not installed", hint=_how_to_get(command[0])) from None
    except subprocess.TimeoutExpired:
        raise Retryable(f"{shown} took longer than {deadline_s:g} s") from None
    if done.returncode != 0:
        raise Retryable(f"{shown}: {last_line(done.stderr)}")
    return done.stdout.decode(errors="replace")


def _how_to_get(name: str) -> str:
    return install_command(name) if name in PACKAGES else f"install {name}"


def last_line(output: bytes) -> str:
    """The last line of a program's message, short enough for ours."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1][:OUTPUT_LIMIT_CHARS] if lines else "no message"
