"""What is left on the host is removed only when two confirm that its lease is over."""

from __future__ import annotations

from dataclasses import dataclass

from metering.eip712 import keccak
from metering.units import Hash32
from tests.make.records import JOB, LEASE_ID, make_running_lease
from tests.xnode.effects.rig import SLOT, Rig
from xnode.effects.orphans import sweep_orphans
from xnode.node import effects
from xnode.node.records import ProviderLease, Record
from xnode.node.state import State, make_state

OTHER = Hash32(keccak(b"another lease"))


@dataclass
class Node:
    """Stands where the loop and the journal do. live: in the state; kept: in the store, the archived ones too."""

    state: State
    kept: tuple[Record, ...] = ()

    async def read_record(self, record_type: type[Record], key: bytes) -> Record | None:
        return next((one for one in self.kept if isinstance(one, record_type) and one.key == key), None)


def sweep(live: tuple[ProviderLease, ...] = (), kept: tuple[ProviderLease, ...] = ()) -> set[Hash32]:
    """The workloads that are left of two."""
    rig = Rig(1)
    for lease_id in (LEASE_ID, OTHER):
        rig.perform(effects.StartWorkload(lease_id, JOB, JOB.duration_limit_ns, *SLOT))
    node = Node(make_state(live), (*live, *kept))
    rig.run(sweep_orphans(rig.containers, node, node))  # type: ignore[arg-type]
    return set(rig.containers.workloads)


def test_a_workload_of_an_open_lease_stays() -> None:
    assert sweep(live=(make_running_lease(), make_running_lease(lease_id=OTHER))) == {LEASE_ID, OTHER}


def test_a_workload_that_no_record_knows_was_never_promised_and_goes() -> None:
    assert sweep(live=(make_running_lease(),)) == {LEASE_ID}


def test_a_workload_whose_archived_lease_was_not_emptied_stays_for_its_outputs() -> None:
    settled = make_running_lease(status="settled")
    assert sweep(live=(make_running_lease(lease_id=OTHER),), kept=(settled,)) == {LEASE_ID, OTHER}


def test_a_workload_that_counts_as_removed_goes() -> None:
    removed = make_running_lease(status="settled", removed=True)
    assert sweep(live=(make_running_lease(lease_id=OTHER),), kept=(removed,)) == {OTHER}
    assert sweep(live=(make_running_lease(lease_id=OTHER), removed)) == {OTHER}
