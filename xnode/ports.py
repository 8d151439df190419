"""Ports: the narrow interfaces through which the loop and the daemon reach the world. Adapters implement them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from metering.capacity import SignedVerdict
from metering.resources import Resources
from metering.terms import Escrow, Opening
from metering.units import Address, Amount, Hash32
from metering.usage import Counters
from metering.voucher import Voucher
from scheduler.job import Blob, Image, OutputFile

# ---------------------------------------------------------------------------------------------------------------- time


class Clock(Protocol):
    """The only place that knows what time it is."""

    def now_ns(self) -> int:
        """Nanoseconds UTC; never goes back within one process."""
        ...


# ------------------------------------------------------------------------------------------------------------- runtime

WorkloadStatus = Literal["absent", "created", "running", "exited"]


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """One container: inputs are host paths mounted read-only at /work/in/<path>; /work/out is its only writable disk."""

    lease_id: Hash32
    image: Image
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, Path], ...]
    resources: Resources
    network: bool
    duration_limit_ns: int


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What the engine knows of a lease's workload. Times are nanoseconds UTC, None until they have happened."""

    status: WorkloadStatus
    started_at_ns: int | None = None
    finished_at_ns: int | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    timed_out: bool = False


class Engine(Protocol):
    """Runs workloads in containers that outlive this process. Every method is safe to call twice.

    All raise Retryable or Permanent; an error is never "absent".
    """

    async def check(self) -> str:
        """The engine's name and version, or Permanent with what to install or mend."""
        ...

    async def has_image(self, image: Image) -> bool: ...

    async def import_image(self, image: Image, layout: Path) -> None:
        """Take an image from an OCI layout directory; Permanent when its digest differs or a blob is missing or wrong."""
        ...

    async def pull_image(self, image: Image) -> None:
        """Take an image from the registry its reference names, pinned by digest."""
        ...

    async def start(self, spec: WorkloadSpec) -> WorkloadState:
        """Create and start; when the lease's workload exists already in any state, only say how it is."""
        ...

    async def inspect(self, lease_id: Hash32) -> WorkloadState: ...

    async def wait(self, lease_id: Hash32) -> WorkloadState:
        """Returns when the workload has exited (or is absent)."""
        ...

    async def stop(self, lease_id: Hash32) -> WorkloadState:
        """Kill every process of it; returns when none is left. The counters stay readable until remove()."""
        ...

    async def read_counters(self, lease_id: Hash32) -> Counters:
        """Usage since the start; still exact after the exit, until remove()."""
        ...

    def read_logs(self, lease_id: Hash32, offset: int, follow: bool) -> AsyncIterator[tuple[int, bytes]]:
        """(offset after this piece, piece) of the merged stdout and stderr from a byte offset on; ends at the exit."""
        ...

    async def keep_log(self, lease_id: Hash32, into: Path) -> None:
        """Copy the raw log to a file from which read_kept_log() reads on at the same offsets, after remove() too."""
        ...

    def read_kept_log(self, kept: Path, offset: int) -> AsyncIterator[tuple[int, bytes]]:
        """As read_logs() of a workload that has exited, from a kept file."""
        ...

    async def collect_outputs(self, lease_id: Hash32, into: Path) -> tuple[OutputFile, ...]:
        """Hash the files of /work/out and move them into the blob folder `into`, as into/<sha256 hex>."""
        ...

    async def remove(self, lease_id: Hash32) -> None:
        """Take away container, cgroup, disk and log. Only for a workload that has exited."""
        ...

    async def list_leases(self) -> tuple[Hash32, ...]:
        """Every lease of which anything is left on this host."""
        ...


class ImageStore(Protocol):
    """Puts an image's blobs together as an OCI layout folder."""

    async def make_layout(self, image: Image) -> Path: ...


# ----------------------------------------------------------------------------------------------------------------- net


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node and where it may be reached (multiaddrs without /p2p, may be empty: then the DHT is asked)."""

    address: Address
    multiaddrs: tuple[str, ...] = ()


RpcHandler = Callable[[Address, bytes], Awaitable[bytes]]
"""(caller's proven address, request body) -> response body; raises RpcRefused to say no."""

StreamHandler = Callable[[Address, bytes, Callable[[bytes], Awaitable[None]]], Awaitable[None]]
"""(caller, request body, send one frame): answers with frames until it returns."""


class RpcRefused(Exception):
    """The peer (or our handler) says no: `body` is an encoded metering Refusal."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        super().__init__("refused")


class Net(Protocol):
    """libp2p behind one narrow door. Raises Retryable when a peer cannot be reached or breaks off."""

    async def call(self, peer: Peer, method: str, body: bytes, deadline_ns: int) -> bytes:
        """One request, one response. Raises RpcRefused when the peer refuses, Permanent when it does not know the method."""
        ...

    def stream(self, peer: Peer, method: str, body: bytes) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """One request, many frames."""
        ...

    async def publish_record(self, record: bytes) -> None:
        """Put our node's own (already signed) record into the DHT under our address, and provide the provider key."""
        ...

    async def find_providers(self) -> tuple[Address, ...]: ...

    async def get_record(self, address: Address) -> bytes | None:
        """The freshest valid record of a node, or None."""
        ...

    def multiaddrs(self) -> tuple[str, ...]:
        """Where we listen."""
        ...


# --------------------------------------------------------------------------------------------------------------- chain


@dataclass(frozen=True, slots=True)
class EscrowState:
    """An escrow on chain, in base units; thaw_end: seconds UTC, 0 when not thawing."""

    deposited: Amount
    claimed: Amount
    thaw_end: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One row of a claim; without a voucher there is nothing to claim, only to release."""

    escrow: Escrow
    voucher: Voucher | None
    signature: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that is final enough to rely on. ok is False when it reverted."""

    intent: str
    tx_hash: Hash32
    block_number: int
    ok: bool
    gas_used: int


class Chain(Protocol):
    """Reads and writes of the contracts. Raises Retryable when the chain node cannot be reached, Permanent on a revert."""

    async def check(self) -> str:
        """Chain id, contracts and bytecode are what the manifest says; Permanent with what to mend."""
        ...

    async def free_balance(self, payer: Address, asset: Address) -> Amount: ...

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount: ...

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState: ...

    async def provider_of(self, node: Address) -> Address | None: ...

    async def stake_of(self, provider: Address) -> Amount: ...

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        """Send (or take up again) the opening; returns when confirmed. One intent never becomes two transactions."""
        ...

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        """Claim all rows and, when `release`, give the rest of each escrow back to its payer, in one transaction."""
        ...

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent: ...

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent: ...


ChallengeStage = Literal["none", "requested", "drawn", "passed", "failed", "lapsed"]
"""In the order of CapacityRegistry's Stage."""


@dataclass(frozen=True, slots=True)
class ClaimedClass:
    """So many devices of one class, as a challenge judges them: see ICapacityRegistry.Class."""

    class_id: int
    count: int
    name: str
    kind: Literal["gpu", "cpu"]
    weight_milli: int
    n: int
    time_limit_ms: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """A capacity challenge on chain. seed, panel (providers' addresses, ascending), quorum and deadline (the chain's
    seconds) are those of the draw, and empty before it."""

    challenge_id: Hash32
    provider: Address
    stage: ChallengeStage
    draw_block: int
    deadline: int
    seed: Hash32
    panel: tuple[Address, ...]
    quorum: int
    claims: tuple[ClaimedClass, ...]


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest block: its number and its time in the chain's own seconds."""

    number: int
    time: int


class CapacityChain(Protocol):
    """CapacityRegistry, as challenges need it. Raises as Chain does."""

    async def read_head(self) -> ChainHead: ...

    async def read_block_time(self, number: int) -> int:
        """A block's time in the chain's own seconds; Retryable when it is not there yet."""
        ...

    async def list_challenges(self, first_block: int, last_block: int) -> tuple[Hash32, ...]:
        """Those that something happened to in these blocks; a hint where to look, as every log is."""
        ...

    async def read_challenge(self, challenge_id: Hash32, *, confirmed: bool = False) -> Challenge:
        """As it is in the newest block, or in the newest one that is final."""
        ...

    async def find_open(self, provider: Address) -> Hash32 | None:
        """The provider's open challenge."""
        ...

    async def read_seed(self, challenge: Challenge) -> Hash32 | None:
        """The seed that a draw would give a requested challenge, once its block is there and can still be read."""
        ...

    async def read_counts(self, provider: Address) -> tuple[int, int]:
        """vCPUs and GPUs of the provider's verdict in force; zeros when there is none."""
        ...

    async def list_verifiers(self) -> tuple[Address, ...]:
        """The providers that are verifiers now."""
        ...

    async def list_nodes(self, providers: tuple[Address, ...]) -> tuple[Address, ...]:
        """The node key of each, zero for one that is a provider no more."""
        ...

    async def draw(self, challenge_id: Hash32) -> None:
        """Have it drawn; nothing when somebody else has."""
        ...

    async def record(self, challenge_id: Hash32, verdicts: tuple[tuple[Address, SignedVerdict], ...]) -> None:
        """Hand in the verdicts of a quorum, by verifier, ascending; nothing when somebody else has."""
        ...


class EscrowNews(Protocol):
    """Confirmed events of PaymentEscrow."""

    def follow(self) -> AsyncGenerator[set[Hash32], None]:
        """An empty set, once nothing can be missed any more; then sets of escrow ids that something happened to. Never
        ends, never raises: waits out whatever is wrong with the chain node."""
        ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction before it is signed. Fees in wei per gas, value in wei; to: None makes a contract."""

    chain_id: int
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: Address | None
    value: int
    data: bytes


class TransactionSigner(Protocol):
    """Signs transactions of one address."""

    @property
    def address(self) -> Address: ...

    def sign_transaction(self, transaction: Transaction) -> bytes:
        """The raw transaction, ready to broadcast; the same transaction always gives the same bytes."""
        ...


# -------------------------------------------------------------------------------------------------------------- wallet


class Signer(Protocol):
    """Signs typed data with the node's key; the only code that sees it."""

    @property
    def address(self) -> Address: ...

    def sign(self, type_name: str, value: object) -> bytes:
        """65 bytes over the digest of `value` as `type_name` (metering.eip712) in our domain. Deterministic."""
        ...


# ------------------------------------------------------------------------------------------------------------ promises


class Promises(Protocol):
    """What was said once and for all, on disk before it is said. Raises Retryable when the database cannot take it."""

    async def keep(self, kind: str, subject: bytes, value: bytes) -> bytes:
        """The value that stands for the subject from now on: this one, or the one that was there first."""
        ...

    async def promise(self, kind: str, subject: bytes, value: bytes) -> None:
        """As keep(); Permanent (code "promised") when another value was there first: then this one must not be signed."""
        ...

    async def find(self, kind: str, subject: bytes) -> bytes | None:
        """The value that stands, or None."""
        ...

    async def list_values(self, kind: str) -> tuple[bytes, ...]:
        """All that stand of one kind, in order of subject."""
        ...


# --------------------------------------------------------------------------------------------------------------- blobs


class Blobs(Protocol):
    """Content-addressed bytes on disk."""

    def path(self, sha256: Hash32) -> Path: ...

    def has(self, blob: Blob) -> bool: ...

    async def add_file(self, source: Path) -> Blob:
        """Copy a file in, by its hash."""
        ...

    async def fetch(self, peer: Peer, blob: Blob, progress: Callable[[int], None]) -> None:
        """Get a blob from a peer, resuming, checking its hash; Permanent when the bytes are wrong."""
        ...
