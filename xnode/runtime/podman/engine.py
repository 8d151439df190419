"""PodmanEngine: workloads in podman containers that outlive this process, one parent cgroup, disk and folder a
lease."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from metering.units import Hash32
from metering.usage import Counters
from scheduler.job import Image
from scheduler.outputs import Inventory, limit_of
from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable
from xnode.ports.runtime import HeldImage, WorkloadSpec, WorkloadState
from xnode.runtime.conmon import logs
from xnode.runtime.conmon.lease_folder import LeaseFolder, make_record
from xnode.runtime.conmon.workload import Workload
from xnode.runtime.host import disk
from xnode.runtime.host.cgroup import CgroupTree, LeaseCgroup, read_cgroup_tree
from xnode.runtime.host.facts import choose_runtime
from xnode.runtime.host.hidden import find_hidden
from xnode.runtime.host.network import RESOLV_CONF, make_network
from xnode.runtime.host.preparation import RUN_DIR, prepare_host, read_boot_id
from xnode.runtime.host.program import find_program, last_line
from xnode.runtime.host.reservations import Reserved, release_reservations, reserve_cpus, reserve_devices, reserve_uids
from xnode.runtime.host.room import Room
from xnode.runtime.lease import outputs
from xnode.runtime.lease.environment import has_ipv6, make_hosts
from xnode.runtime.lease.inputs import link_inputs
from xnode.runtime.lease.spec import WORKLOAD_UID, check_spec, make_limits
from xnode.runtime.lease.stored_image import StoredImage, choose_signal
from xnode.runtime.podman import lockdown
from xnode.runtime.podman.command import LONG_S, Places, Podman
from xnode.runtime.podman.failure import clean_reason, make_failure, read_exec_fault
from xnode.runtime.podman.image_shelf import ImageShelf, read_leased_bytes
from xnode.runtime.podman.image_store import ImageStore

ABSENT = WorkloadState("absent")

EMPTY_DEADLINE_S = 20.0
"""How long killed processes may take to go; longer means one hangs in the kernel."""

EMPTY_LOOKS = Backoff(first_s=0.001, most_s=0.1)
"""Between looks whether killed processes are gone."""

REMOVE_TRIES, REMOVE_RETRY = 10, Backoff(first_s=0.02, most_s=10.24)
"""podman's removal races with its own clean-up after the exit (EBUSY): twenty seconds in all."""

ROOM = Room()

NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")


class PodmanEngine:
    """ports.Engine over podman. One state_dir may be shared by several namespaces; each sees its own leases only.

    state_dir: an absolute path without commas; namespace: a short name of this daemon; oci_runtime: "crun" or "runc";
    gpu_devices: CDI names of the GPUs this daemon may lend, like "nvidia.com/gpu=0"; find_lost: which of some do not work any
    more, and why (blocks); room: what one image may take of the disk; registries: what images are pulled from, as in the
    settings.
    """

    def __init__(
        self,
        state_dir: Path,
        namespace: str,
        oci_runtime: str = "crun",
        gpu_devices: tuple[str, ...] = (),
        find_lost: Callable[[tuple[str, ...]], str] = lambda _devices: "",
        room: Room = ROOM,
        registries: tuple[str, ...] = (),
    ) -> None:
        if not NAMESPACE.match(namespace):
            raise Permanent(f"namespace {namespace!r} must be 1 to 40 of a-z, 0-9 and -")
        if not state_dir.is_absolute() or set(str(state_dir)) & set(",:\"'\\\n$`"):
            raise Permanent(f"state_dir {state_dir} must be an absolute path without quotes, commas or colons")
        # Two daemons may choose one namespace by chance: what is shared on a host is named by the folder as well.
        self.scope = f"{namespace}-{_short_hash(str(state_dir))}"
        self._gpus, self._find_lost = gpu_devices, find_lost
        self._places = Places(state_dir / namespace, RUN_DIR / self.scope)
        self._podman = Podman(self._places, oci_runtime)
        self._tree: CgroupTree | None = None
        self._boot_id = ""
        self._hidden: tuple[str, ...] = ()
        self._failures: dict[Hash32, tuple[str, int]] = {}
        self._prepare_lock = trio.Lock()
        self._images = ImageStore(self._podman, room, registries)
        self._shelf = ImageShelf(self._podman, self._images)
        self._locks: WeakValueDictionary[Hash32, trio.Lock] = WeakValueDictionary()
        self._workloads: dict[Hash32, Workload] = {}

    # -------------------------------------------------------------------------------------------------------- engine

    async def check(self) -> str:
        """ "podman 4.3.1, crun, cgroup v1"; Permanent with what to install or fix."""
        tree = await self._prepare()
        version = (await self._podman.ask("version", "--format={{.Client.Version}}")).strip()
        if int(version.split(".")[0]) < 4:
            raise Permanent(f"podman {version} is too old", hint="install podman 4 or newer")
        for program in ("mkfs.ext4", "mount", "umount"):
            find_program(program)
        await self._podman.check_conmon()
        return f"podman {version}, {self._podman.oci_runtime}, cgroup v{tree.version}"

    async def has_image(self, image: Image) -> bool:
        await self._prepare()
        return await self._images.find(image) is not None

    async def import_image(self, image: Image, layout: Path) -> None:
        await self._prepare()
        await self._images.take_layout(image, layout)

    async def pull_image(self, image: Image) -> None:
        await self._prepare()
        await self._images.pull(image)

    async def start(self, spec: WorkloadSpec) -> WorkloadState:
        tree = await self._prepare()
        async with self._lock(spec.lease_id):
            workload = await self._find(spec.lease_id)
            if workload is not None and workload.look().status != "created":
                return workload.look()
            check_spec(spec)
            image = await self._images.find(spec.image)
            if image is None:
                raise Permanent(f"image {spec.image.digest} is not on this host", hint="import it first")
            image.check()
            await self._shelf.note_use(spec.image)
            workload = await trio.to_thread.run_sync(self._make_ready, spec, image, tree)
            await self._run(spec, image, workload)
            return workload.look()

    async def inspect(self, lease_id: Hash32) -> WorkloadState:
        await self._prepare()
        workload = await self._find(lease_id)
        if workload is None:
            return await self._inspect_orphan(lease_id)
        state = workload.look()
        if state.status == "running" and not workload.is_live():
            await workload.wait_ending()
        state = await workload.look_closely()
        if state.exit_code:
            # A program that its kernel will not run is found out only after the start.
            state = replace(state, fault=await trio.to_thread.run_sync(read_exec_fault, workload.folder.log))
        if workload.record.gpus:
            state = replace(state, gpu_lost=await trio.to_thread.run_sync(self._find_lost, workload.record.gpus))
        return state

    async def wait(self, lease_id: Hash32) -> WorkloadState:
        await self._prepare()
        async with self._lock(lease_id):
            workload = await self._find(lease_id)
        if workload is None:
            return ABSENT
        async with trio.open_nursery() as nursery:
            nursery.start_soon(logs.keep_short, workload.folder.log)
            state = await workload.wait_exit()
            nursery.cancel_scope.cancel()
        return state

    async def stop(self, lease_id: Hash32) -> WorkloadState:
        await self._prepare()
        async with self._lock(lease_id):
            workload = await self._find(lease_id)
            if workload is not None and workload.is_live():
                await workload.end()
            await self._empty(self._cgroup(lease_id))
            if workload is None:
                return ABSENT
            return await workload.wait_exit()

    async def read_counters(self, lease_id: Hash32) -> Counters:
        workload = self._workloads.get(lease_id) or await self._find(lease_id)
        return Counters(0, 0) if workload is None else await workload.read_counters()

    def is_over(self, lease_id: Hash32) -> bool:
        workload = self._workloads.get(lease_id)
        return workload is not None and workload.was_read_whole

    async def read_logs(self, lease_id: Hash32, offset: int, follow: bool) -> AsyncGenerator[tuple[int, bytes], None]:
        """Offsets are those of `logs`: positions in the raw log file, valid forever."""
        await self._prepare()
        workload = await self._find(lease_id)
        if workload is None:
            return

        def ended() -> bool:
            return workload.look().status != "running"

        async with aclosing(logs.read_pieces(workload.folder.log, offset, follow, ended, workload.wait_exit)) as pieces:
            async for piece in pieces:
                yield piece

    async def keep_log(self, lease_id: Hash32, into: Path) -> None:
        await self._prepare()
        workload = await self._find(lease_id)
        if workload is not None:
            await trio.to_thread.run_sync(logs.copy_log, workload.folder.log, into)

    async def read_kept_log(self, kept: Path, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        async with aclosing(logs.read_pieces(kept, offset, False, lambda: True, trio.lowlevel.checkpoint)) as pieces:
            async for piece in pieces:
                yield piece

    async def collect_outputs(self, lease_id: Hash32, into: Path) -> Inventory:
        await self._prepare()
        workload = await self._find(lease_id)
        if workload is None:
            raise Permanent(f"lease {lease_id.hex()[:16]} has no outputs here")
        if workload.look().status == "running":
            raise Permanent(f"lease {lease_id.hex()[:16]} still runs", hint="stop it before collecting its outputs")
        return await trio.to_thread.run_sync(_collect, workload, into)

    async def remove(self, lease_id: Hash32) -> None:
        await self._prepare()
        async with self._lock(lease_id):
            workload = await self._find(lease_id)
            if workload is not None and workload.is_live():
                raise Permanent(f"lease {lease_id.hex()[:16]} still runs", hint="stop it before removing it")
            await self._remove_container(lease_id)
            await self._empty(self._cgroup(lease_id))
            self._forget(lease_id)
            await trio.to_thread.run_sync(self._remove_rest, lease_id)

    async def list_leases(self) -> tuple[Hash32, ...]:
        tree = await self._prepare()
        listing = await self._podman.ask("ps", "--all", '--format={{index .Labels "xnode.lease"}}')
        names = {*listing.split(), *await trio.to_thread.run_sync(self._list_names, tree)}
        return tuple(sorted(Hash32(bytes.fromhex(name)) for name in names if re.fullmatch("[0-9a-f]{64}", name)))

    # ------------------------------------------------------------------------------------------------- image shelf

    async def list_images(self) -> tuple[HeldImage, ...]:
        await self._prepare()
        return await self._shelf.list_images()

    async def remove_image(self, digest: str) -> None:
        await self._prepare()
        await self._shelf.remove(digest)

    async def read_leased_bytes(self) -> int:
        return await trio.to_thread.run_sync(read_leased_bytes, self._places.leases)

    async def erase(self) -> None:
        """Stop and remove everything this engine has on the host: workloads, images, settings. For uninstalling."""
        for lease_id in await self.list_leases():
            await self.stop(lease_id)
            await self.remove(lease_id)
        await self._podman.run("rmi", "--all", "--force", deadline_s=LONG_S)
        await trio.to_thread.run_sync(self._erase_folders)
        self._tree = None

    # ------------------------------------------------------------------------------------------------------- pieces

    async def _prepare(self) -> CgroupTree:
        """The host, our settings and the cgroup tree made ready, once."""
        if self._tree is None:
            async with self._prepare_lock:
                if self._tree is None:
                    self._tree = await trio.to_thread.run_sync(self._prepare_blocking)
        return self._tree

    def _prepare_blocking(self) -> CgroupTree:
        tree = read_cgroup_tree()
        self._podman.oci_runtime = _choose_runtime(self._podman.oci_runtime)
        self._boot_id = read_boot_id()
        self._hidden = find_hidden()
        self._podman.write_settings(tree, self.scope)
        return tree

    def _lock(self, lease_id: Hash32) -> trio.Lock:
        return self._locks.setdefault(lease_id, trio.Lock())

    def _folder(self, lease_id: Hash32) -> LeaseFolder:
        return LeaseFolder(self._places.leases / lease_id.hex(), self._places.exits)

    def _cgroup(self, lease_id: Hash32) -> LeaseCgroup:
        assert self._tree is not None
        return self._tree.lease(self.scope, lease_id.hex())

    async def _find(self, lease_id: Hash32) -> Workload | None:
        """What we know of a lease, read from its folder the first time. None also when another program has removed it."""
        await self._prepare()
        folder = self._folder(lease_id)
        record = await trio.to_thread.run_sync(folder.read_record)
        if record is None:
            self._forget(lease_id)
            return None
        if lease_id not in self._workloads:
            self._workloads[lease_id] = Workload(folder, record, self._cgroup(lease_id), self._boot_id)
        return self._workloads[lease_id]

    def _forget(self, lease_id: Hash32) -> None:
        self._failures.pop(lease_id, None)
        workload = self._workloads.pop(lease_id, None)
        if workload is not None:
            workload.close()

    def _make_ready(self, spec: WorkloadSpec, image: StoredImage, tree: CgroupTree) -> Workload:
        """Folder, record, inputs, disk and cgroup of a lease. Blocks; the record comes first, so nothing is
        forgotten."""
        folder = self._folder(spec.lease_id)
        folder.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        working = tuple(one for one in self._gpus if not self._find_lost((one,))) if spec.resources.gpus else ()
        gpus = reserve_devices(working, spec.resources.gpus, folder.path) if spec.resources.gpus else ()
        cpus = _reserve_whole_cpus(spec, folder.path) if tree.has_cpuset() else ()
        reserved = Reserved(reserve_uids(folder.path), gpus, cpus)
        stop_signal = choose_signal(spec.stop_signal, image.stop_signal)
        record = make_record(spec, self._boot_id, image.id, reserved, stop_signal)
        folder.write_record(record)
        link_inputs(spec.inputs, folder.inputs, spec.executable, spec.packed)
        user = WORKLOAD_UID if image.uid is None else image.uid
        disk.make_disk(folder.path / "disk.img", record.disk_bytes, folder.disk, record.uid_base + user)
        folder.write_owner(record.uid_base if image.uid is None and not image.is_root else None)
        folder.write_names(make_hosts(has_ipv6()), RESOLV_CONF if spec.network else "")
        if spec.network:
            network = make_network(record.uid_base, spec.network_bytes)
            network.create()
            folder.write_attach_script(network.make_attach_script())
        cgroup = tree.lease(self.scope, spec.lease_id.hex())
        cgroup.create(make_limits(spec))
        known = self._workloads.pop(spec.lease_id, None)
        if known is not None:
            known.close()
        workload = Workload(folder, record, cgroup, self._boot_id)
        self._workloads[spec.lease_id] = workload
        return workload

    async def _run(self, spec: WorkloadSpec, image: StoredImage, workload: Workload) -> None:
        await self._clear_unstarted(spec.lease_id)
        walls = lockdown.Walls(self.scope, self._places.seccomp, self._hidden)
        done = await self._podman.run(*lockdown.make_run_args(spec, image, workload.record, workload.folder, walls))
        if done.returncode == 0 or workload.look().status != "created":
            self._failures.pop(spec.lease_id, None)
            return
        self._images.forget(spec.image)
        reason, count = self._failures.get(spec.lease_id, ("", 0))
        now = clean_reason(done.stderr)
        count = count + 1 if now == reason else 0
        self._failures[spec.lease_id] = (now, count)
        # Without the lease's id: that two providers say the same shows that it is the job.
        raise make_failure("the container did not start", done.returncode, done.stderr, count)

    async def _clear_unstarted(self, lease_id: Hash32) -> None:
        """Remove a container that an earlier start created and never started."""
        folder = self._folder(lease_id)
        if folder.read_cid():
            await self._remove_container(lease_id)
            for name in ("cid", "pid", "conmon.pid"):
                (folder.path / name).unlink(missing_ok=True)

    async def _empty(self, cgroup: LeaseCgroup) -> None:
        """Kill whatever is in the cgroup until nothing is."""
        until, pauses = trio.current_time() + EMPTY_DEADLINE_S, EMPTY_LOOKS.pauses()
        while cgroup.list_pids():
            if trio.current_time() > until:
                raise Retryable(
                    f"killed processes are still there after {EMPTY_DEADLINE_S:g} s: {cgroup.list_pids()[:8]}"
                )
            cgroup.kill()
            await trio.sleep(next(pauses))

    async def _inspect_orphan(self, lease_id: Hash32) -> WorkloadState:
        """A lease without a record: absent, unless podman or a cgroup still has something of it."""
        if self._cgroup(lease_id).list_pids():
            return WorkloadState("running")
        done = await self._podman.run("container", "exists", lockdown.container_name(lease_id.hex()))
        if done.returncode > 1:
            raise Retryable(f"podman container exists: {last_line(done.stderr)}")
        return WorkloadState("exited") if done.returncode == 0 else ABSENT

    async def _remove_container(self, lease_id: Hash32) -> None:
        name = lockdown.container_name(lease_id.hex())
        for pause_s in islice(REMOVE_RETRY.pauses(), REMOVE_TRIES):
            done = await self._podman.run("rm", "--force", "--ignore", "--time=0", "--volumes", name)
            if done.returncode == 0:
                return
            await trio.sleep(pause_s)
        raise Retryable(f"podman rm {name}: {last_line(done.stderr)}")

    def _remove_rest(self, lease_id: Hash32) -> None:
        """All but the container; the folder, and with it the record, goes last."""
        folder = self._folder(lease_id)
        record = folder.read_record()
        if record is not None and record.network and record.boot_id == self._boot_id:
            make_network(record.uid_base).remove()
        self._cgroup(lease_id).remove()
        disk.remove_disk(folder.path / "disk.img", folder.disk)
        for link in self._places.containers.iterdir():
            if link.is_symlink() and link.readlink() == folder.path:
                link.unlink()
        release_reservations(folder.path)
        if folder.path.exists():
            shutil.rmtree(folder.path)

    def _erase_folders(self) -> None:
        if self._tree is not None:
            self._tree.remove_namespace(self.scope)
        for place in (self._places.home, self._places.run):
            disk.unmount_below(place)
            shutil.rmtree(place, ignore_errors=True)

    def _list_names(self, tree: CgroupTree) -> set[str]:
        return {path.name for path in self._places.leases.iterdir()} | set(tree.list_leases(self.scope))


def _choose_runtime(wanted: str) -> str:
    """The OCI runtime to use: runc when crun is wanted and is not there, or this host cannot be made ready for it."""
    used = choose_runtime(wanted) or wanted
    try:
        prepare_host()
        find_program(used)
    except Permanent:
        if wanted != "crun":
            raise
        with suppress(Permanent):
            find_program("runc")
            return "runc"
        raise
    return used


def _collect(workload: Workload, into: Path) -> Inventory:
    folder = workload.folder
    disk.mount_again(folder.path / "disk.img", folder.disk)
    return outputs.collect(folder.out, into, limit_of(workload.record.disk_bytes))


def _reserve_whole_cpus(spec: WorkloadSpec, holder: Path) -> tuple[int, ...]:
    """CPUs for this lease alone, when its share is a whole number of them and so many are free.

    No two leases are ever kept to one CPU. Whatever is not kept to any goes where there is room: the kernel sees to that.
    """
    count, rest = divmod(spec.resources.vcpu_milli, 1000)
    cpus = os.sched_getaffinity(0)
    return reserve_cpus(cpus, count, holder) if not rest and count < len(cpus) else ()


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
