"""Last ports: those that port 0 became at the last start, so that a node that comes back is where others look for it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from xnode.durable import replace_file

MAX_FILE_BYTES = 65_536

_ANY = "/tcp/0"


def take_last_ports(file: Path, listen: tuple[str, ...]) -> tuple[str, ...]:
    """What to listen on: the port of last time instead of port 0, where it is free. Blocks."""
    last = _read(file)
    return tuple(_fill(each, last.get(each)) for each in listen)


def note_ports(file: Path, listen: tuple[str, ...], bound: tuple[str, ...]) -> None:
    """Remember which ports the wished addresses became. Raises OSError. Blocks."""
    ports = {each: _find_port(each, bound) for each in listen if each.endswith(_ANY)}
    known = {each: port for each, port in ports.items() if port is not None}
    if known == _read(file):
        return
    replace_file(file, json.dumps(known), sync=False)


def _find_port(wished: str, bound: tuple[str, ...]) -> int | None:
    prefix = wished.removesuffix("0")
    ports = [each.removeprefix(prefix) for each in bound if each.startswith(prefix)]
    return int(ports[0]) if len(ports) == 1 and ports[0].isdecimal() else None


def _read(file: Path) -> dict[str, int]:
    try:
        with file.open("rb") as opened:
            data = json.loads(opened.read(MAX_FILE_BYTES))
    except (OSError, ValueError):
        return {}  # nothing is lost by it but the place
    if not isinstance(data, dict):
        return {}
    return {each: port for each, port in data.items() if type(port) is int and 0 < port < 65_536}


def _fill(wished: str, port: int | None) -> str:
    if port is None or not wished.endswith(_ANY):
        return wished
    host = wished.split("/")[2]
    return f"{wished.removesuffix('0')}{port}" if _is_free(host, port) else wished


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As the listener itself does: connections of the daemon before us may still be closing.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen(1)
        except OSError:
            return False
    return True
