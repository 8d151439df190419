"""A private PostgreSQL server on a unix socket, in a folder of its own; it can be stopped and started again."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

INSTALLED = Path("/usr/lib/postgresql")
USER, PASSWORD = "node", "se cret/@"
PORT = 54321
"""Only names the socket, whose folder is ours alone."""

START_S = 60

_OWNER = "postgres"


class PostgresServer:
    """Enter it before use."""

    def __init__(self) -> None:
        self._binaries = max(INSTALLED.glob("*/bin"), key=lambda path: int(path.parent.name))
        # Directly in /tmp: a unix socket's path is short.
        self._folder = Path(tempfile.mkdtemp(prefix="xnode-pg-"))
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        try:
            if os.geteuid() == 0:
                shutil.chown(self._folder, _OWNER, _OWNER)
            secret = self._folder / "password"
            secret.write_text(PASSWORD + "\n")
            secret.chmod(0o644)
            self._run("initdb", "-D", "data", "-U", USER, "-A", "scram-sha-256", "--pwfile=password", "--no-sync")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Returns when it takes connections."""
        command = [str(self._binaries / "postgres"), "-D", "data", "-k", str(self._folder), "-p", str(PORT), "-h", ""]
        self._process = process = subprocess.Popen(
            command,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C"},
            **_as_owner(),
        )
        assert process.stdout is not None
        for line in process.stdout:
            if b"ready to accept connections" in line:
                # What it says afterwards must not fill the pipe and stop it.
                null = subprocess.DEVNULL
                self._drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=null, stderr=null)
                process.stdout.close()
                return
        raise AssertionError("PostgreSQL did not start")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Returns when it is gone. SIGINT breaks off its clients and ends in order; SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None
            if self._drain is not None:
                self._drain.wait(START_S)

    def make_url(self, database: str, password: str = PASSWORD) -> str:
        """As an operator writes it."""
        return f"postgresql+psycopg://{USER}:{quote(password, safe='')}@/{database}?host={self._folder}&port={PORT}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"node{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.make_url(name)

    def execute(self, command: str) -> None:
        """As the owner, outside of any transaction."""
        where = {"host": str(self._folder), "port": PORT, "user": USER, "password": PASSWORD, "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(sql.SQL(command))

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, timeout=START_S, **_as_owner())


def _as_owner() -> dict[str, Any]:
    # PostgreSQL refuses to run as root.
    return {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
