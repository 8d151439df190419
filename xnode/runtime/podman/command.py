"""Podman: its command line, under settings, storage and shims of our own, so that the operator's stay untouched.

Measured: `podman run -d` takes 130 to 240 ms and leaves no process but conmon; the REST service took longer for the
same and would be one more process for each daemon to keep alive.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import trio

from xnode.distribution import install_command
from xnode.durable import naming
from xnode.errors import Permanent, Retryable
from xnode.runtime.conmon.logs import LIMIT_BYTES
from xnode.runtime.host.cgroup import CgroupTree
from xnode.runtime.host.disk import FOLDERS
from xnode.runtime.host.program import SEARCH_PATH, find_program, last_line
from xnode.runtime.host.seccomp import make_profile

MAX_AT_ONCE = 4
"""Podman processes running together: each takes up to 100 MB and a core while it starts."""

MAX_LONG = 2
"""Those that copy images, beside them: a start never waits for another lease's image."""

NOFILE, NPROC = 20_000, 8_192
"""Limits within a container; some hosts lack CAP_SYS_RESOURCE and cannot give podman's default million."""

QUICK_S, LONG_S = 60.0, 900.0
"""Deadlines: for what touches one container, and for what copies an image."""

SHIMS = ("conmon", "oci-runtime", "ended")
"""The generated files that are programs."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where one engine keeps things. home: what lasts; run: what a reboot must clear, or podman takes the dead for
    living."""

    home: Path
    run: Path

    @property
    def leases(self) -> Path:
        return self.home / "leases"

    @property
    def containers(self) -> Path:
        """Symlinks container id -> lease folder, made by the conmon shim for the runtime shim."""
        return self.home / "containers"

    @property
    def incoming(self) -> Path:
        """What is on its way into the image storage, and podman's temporary files: garbage when no pull runs."""
        return self.home / "incoming"

    @property
    def config(self) -> Path:
        return self.home / "config"

    @property
    def exits(self) -> Path:
        """Where conmon leaves exit statuses, by container id."""
        return self.run / "tmp" / "exits"

    @property
    def seccomp(self) -> Path:
        return self.config / "seccomp.json"


class Podman:
    """Runs podman for one engine."""

    def __init__(self, places: Places, oci_runtime: str) -> None:
        self.places, self.oci_runtime = places, oci_runtime
        self._limiter, self._long_limiter = trio.CapacityLimiter(MAX_AT_ONCE), trio.CapacityLimiter(MAX_LONG)
        config = places.config
        self._env = {
            "PATH": SEARCH_PATH,
            "HOME": str(places.home),
            # Else layers on their way lie in /var/tmp, which may be small, and stay there when podman is killed.
            "TMPDIR": str(places.incoming),
            "CONTAINERS_CONF": str(config / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(config / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(config / "registries.conf"),
            # Podman lives for a tenth of a second here: collecting its garbage is 10 % of a start.
            "GOGC": "off",
            "GOMEMLIMIT": "256MiB",
        }

    async def run(self, *args: str, deadline_s: float = QUICK_S) -> subprocess.CompletedProcess[bytes]:
        """What `podman *args` gave, whatever its exit status. Retryable past the deadline, Permanent without podman."""
        async with self._limiter:
            return await self._run(args, deadline_s)

    async def run_long(self, *args: str, deadline_s: float = LONG_S) -> subprocess.CompletedProcess[bytes]:
        """As run(), for what copies images."""
        async with self._long_limiter:
            return await self._run(args, deadline_s)

    async def _run(self, args: tuple[str, ...], deadline_s: float) -> subprocess.CompletedProcess[bytes]:
        try:
            with trio.fail_after(deadline_s):
                return await trio.run_process(
                    ["podman", *args], env=self._env, capture_stdout=True, capture_stderr=True, check=False
                )
        except trio.TooSlowError:
            raise Retryable(f"podman {args[0]} took longer than {deadline_s:g} s") from None
        except FileNotFoundError:
            hint = f"{install_command('podman', 'crun')}; version 4 or newer"
            raise Permanent("podman is not installed", hint=hint) from None

    async def ask(self, *args: str, deadline_s: float = QUICK_S) -> str:
        """The standard output of a podman command that must succeed; else Retryable with its message."""
        done = await self.run(*args, deadline_s=deadline_s)
        if done.returncode != 0:
            raise Retryable(f"podman {args[0]}: {last_line(done.stderr)}")
        return done.stdout.decode(errors="replace")

    async def check_conmon(self) -> None:
        """Raises Permanent when conmon cannot cap a log without throwing its beginning away."""
        conmon = await trio.to_thread.run_sync(find_program, "conmon")
        done = await trio.run_process([str(conmon), "--help"], capture_stdout=True, capture_stderr=True, check=False)
        if b"--log-global-size-max" not in done.stdout:
            raise Permanent(f"{conmon} is too old", hint="install conmon 2.1 or newer")

    def write_settings(self, tree: CgroupTree, namespace: str) -> None:
        """Write every file podman is told to read. Blocks; the same call twice changes nothing."""
        shutil.rmtree(self.places.incoming, ignore_errors=True)  # what a crash left
        places = self.places
        for place in (places.leases, places.containers, places.config, places.incoming, places.run):
            place.mkdir(mode=0o711, parents=True, exist_ok=True)
        memory = tree.mount_of("memory") / "xnode" / namespace
        files = {
            "containers.conf": make_containers_conf(self.places),
            "storage.conf": make_storage_conf(self.places),
            "registries.conf": 'short-name-mode = "disabled"\n',
            "policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
            "seccomp.json": make_profile(),
            "conmon": make_conmon_shim(self.places, find_program("conmon"), tree.make_monitors(namespace)),
            "oci-runtime": make_runtime_shim(self.places, find_program(self.oci_runtime)),
            "ended": make_ended_shim(self.places, find_program("podman"), memory),
        }
        for name, text in files.items():
            write_if_changed(self.places.config / name, text, executable=name in SHIMS)


def write_if_changed(path: Path, text: str, executable: bool) -> None:
    """Write whole or not at all, and leave an equal file alone: a running shim is not to be written under its shell."""
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            fresh.write_text(text)
        fresh.chmod(stat.S_IRWXU if executable else stat.S_IRUSR | stat.S_IWUSR)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def make_containers_conf(places: Places) -> str:
    """podman's own settings. File locks: the shared-memory ones are one pool for all podmans of a host, and the first
    start after a boot of any of them frees the locks of all."""
    return f"""[containers]
default_ulimits = ["nofile={NOFILE}:{NOFILE}", "nproc={NPROC}:{NPROC}"]
log_driver = "k8s-file"
http_proxy = false
env = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{places.run}/tmp"
conmon_path = ["{places.config}/conmon"]
runtime = "xnode"
runtime_supports_json = ["xnode"]
runtime_supports_nocgroups = ["xnode"]
[engine.runtimes]
xnode = ["{places.config}/oci-runtime"]
"""


def make_storage_conf(places: Places) -> str:
    """Image storage of this engine alone: shared storage would let one daemon's clean-up take another's image."""
    return f"""[storage]
driver = "overlay"
graphroot = "{places.home}/images"
runroot = "{places.run}/storage"
"""


def make_conmon_shim(places: Places, conmon: Path, monitors: tuple[Path, ...]) -> str:
    """Stands before conmon: notes which lease a container id belongs to, leaves the caller's cgroup, caps the log, and
    has conmon call `ended` at the exit.

    conmon's own per-file size limit throws the beginning away, which would move every offset; the global one drops the
    end: it only bounds what is written while no daemon runs to give the middle back.
    """
    moves = "\n".join(f'  echo $$ > "{path}"' for path in monitors)
    return f"""#!/bin/sh
PATH={SEARCH_PATH}
id= name= before=
for word do
  shift
  case "$before" in
    -c) id=$word ;;
    -n) name=$word ;;
    --exit-command) word={places.config}/ended ;;
  esac
  before=$word
  set -- "$@" "$word"
done
if [ -n "$id" ]; then
  for lease in "{places.leases}/${{name#xnode-}}"*; do ln -sfn "$lease" "{places.containers}/$id"; done
  cd "$lease" || exit  # conmon leaves a file where it stands
  {{
{moves}
  }} 2>/dev/null
fi
exec "{conmon}" --log-global-size-max {LIMIT_BYTES} "$@"
"""


def make_runtime_shim(places: Places, runtime: Path) -> str:
    """Stands before the OCI runtime: gives the disk to the user that only the image knows by name, attaches the
    network, and leaves in the lease folder when the workload started."""
    return f"""#!/bin/sh
PATH={SEARCH_PATH}
act= id= bundle= before=
for word do
  case "$act$word" in start|create) act=$word ;; esac
  case "$before" in --bundle|-b) bundle=$word ;; esac
  before=$word id=$word
done
lease="{places.containers}/$id"
case "$act" in
create)
  if [ -e "$lease/owner" ]; then
    read -r base < "$lease/owner" || :
    read -r uid gid <<END
$(grep -o '"user":{{"uid":[0-9]*,"gid":[0-9]*' "$bundle/config.json" | head -n 1 | tr -c '0-9\n' ' ')
END
    cd "$lease/disk" && chown "$((base + uid)):$((base + gid))" {" ".join(FOLDERS)} || exit
    cd "$OLDPWD" || exit
  fi
  exec "{runtime}" "$@" ;;
start) ;;
*) exec "{runtime}" "$@" ;;
esac
if [ -e "$lease/network" ]; then sh "$lease/network" "$(cat "$lease/pid")" || exit; fi
"{runtime}" "$@" || exit
: > "$lease/started"
"""


def make_ended_shim(places: Places, podman: Path, memory_cgroups: Path) -> str:
    """What conmon calls when a workload has exited, even while no daemon runs: leaves in the lease folder how it
    exited and whether it ran out of memory (cgroup v1 forgets that with the container's cgroup), then lets podman
    clean up, which forgets both."""
    return f"""#!/bin/sh
PATH={SEARCH_PATH}
for id do :; done
lease=$(readlink "{places.containers}/$id") && cd "$lease" && {{
  cp "{memory_cgroups}/${{lease##*/}}/libpod-$id/memory.oom_control" oom_control 2>/dev/null
  [ -e exit ] || {{ cp -p "{places.exits}/$id" exit.new && mv exit.new exit; }}
}}
exec "{podman}" "$@"
"""
