"""Home: where everything of one node lies on disk. Only the standard library, because every command starts here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

HOME_VARIABLE = "XNODE_HOME"

CONFIG_VARIABLE = "XNODE_CONFIG"

PRIVATE_FOLDERS = ("archive", "blobs", "layouts", "logs")
"""Of the data folder: logs of jobs, their inputs, outputs and images. No workload reaches any of them by its path."""


@dataclass(frozen=True, slots=True)
class Home:
    """One node's folder. Nothing is created by naming it. config_file: where its settings are, when that is not in the folder:
    state and settings are two places, for a system that declares the one and keeps the other."""

    folder: Path
    config_file: Path | None = None

    @property
    def config(self) -> Path:
        return self.config_file or self.folder / "config.toml"

    @property
    def keystore(self) -> Path:
        """Folder of the wallets' v3 key files."""
        return self.folder / "keystore"

    @property
    def node_key(self) -> Path:
        """v3 key file of the node's hot key."""
        return self.folder / "node-key.json"

    @property
    def node_address(self) -> Path:
        """The node key's address: says which key is missing when its file is."""
        return self.folder / "node.address"

    @property
    def password(self) -> Path:
        """Password of the node key, readable by its owner only; config's `password_file` may name another."""
        return self.folder / "node.password"

    @property
    def wallet_password(self) -> Path:
        """Password of a wallet that was made with nobody there to choose one."""
        return self.folder / "wallet.password"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def control(self) -> Path:
        """Unix socket on which the daemon takes commands."""
        return self.folder / "control.sock"

    @property
    def namespace(self) -> str:
        """A short name of this home: several daemons on one host each see only their own containers."""
        return f"n{crc32(str(self.folder.resolve()).encode()):08x}"

    @property
    def pid(self) -> Path:
        """Holds the daemon's process id, and the lock that keeps a second one out."""
        return self.folder / "daemon.pid"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def crash_log(self) -> Path:
        """Tracebacks of bugs in the command line."""
        return self.folder / "crash.log"

    def make(self) -> None:
        """Create the folder, readable by its owner only."""
        make_private(self.folder)


def make_private(folder: Path) -> None:
    """Create the folder and every missing one above it, readable by their owner only; what is there stays as it is."""
    # mkdir's own parents=True gives its mode to the last folder only.
    for parent in reversed(folder.parents):
        parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def close_data(data: Path) -> None:
    """Make the data folder, and keep other users of this host from what is kept of jobs: a container engine that maps users
    lets them through every folder above its own, also through a home that was its owner's only."""
    make_private(data)
    for name in PRIVATE_FOLDERS:
        (data / name).mkdir(mode=0o700, exist_ok=True)
        (data / name).chmod(0o700)
    for file in data.glob("xnode.db*"):
        file.chmod(0o600)


@contextmanager
def making_private_files() -> Iterator[None]:
    """Files that are made meanwhile are for their owner only, whatever makes them. Not while there are threads."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def find_home(
    chosen: str | None = None, environment: Mapping[str, str] = os.environ, config: str | None = None
) -> Home:
    """The home that --home, XNODE_HOME or the default (~/.xnode) names, with the settings that --config or XNODE_CONFIG names,
    as absolute paths."""
    text = chosen or environment.get(HOME_VARIABLE) or "~/.xnode"
    file = config or environment.get(CONFIG_VARIABLE)
    return Home(_absolute(text), _absolute(file) if file else None)


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()
