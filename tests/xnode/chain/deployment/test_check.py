"""A manifest is believed only when every contract is the committed build, wired to the others."""

from __future__ import annotations

import msgspec
import pytest
import trio

from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.chain.devchain import Bed, deploy_on, other_owner
from xnode.chain.abi.artifacts import load_artifact
from xnode.chain.contracts.provider_registry import IS_NOT_PAYABLE
from xnode.chain.deployment.check import ARTIFACT_OF, check_deployment, find_other_owner
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.errors import Permanent
from xnode.text.hex import checksum_address, parse_hex, to_hex

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def second(shared_chain: object, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Another deployment on the same chain: the same code, wired among itself."""
    return trio.run(deploy_on, shared_chain.url, tmp_path_factory.mktemp("second"))  # type: ignore[attr-defined]


async def code_of(rpc: JsonRpc, address: Address) -> bytes:
    return parse_hex(await rpc.read("eth_getCode", to_hex(address), "latest"))


async def test_what_deploy_makes_passes(bed: Bed, second: Manifest) -> None:
    await check_deployment(bed.rpc, bed.manifest)
    await check_deployment(bed.rpc, second)


@pytest.mark.parametrize("name", ARTIFACT_OF)
async def test_a_contract_changed_by_one_byte_is_refused_by_name(bed: Bed, second: Manifest, name: str) -> None:
    address = getattr(second.contracts, name)
    code = await code_of(bed.rpc, address)
    changed = bytearray(code)
    changed[_find_fixed_byte(name, len(code))] ^= 1
    await bed.rpc.write("anvil_setCode", to_hex(address), to_hex(bytes(changed)))
    with pytest.raises(Permanent) as caught:
        await check_deployment(bed.rpc, second)
    assert ARTIFACT_OF[name] in str(caught.value) and checksum_address(address) in str(caught.value)
    await bed.rpc.write("anvil_setCode", to_hex(address), to_hex(code))
    await check_deployment(bed.rpc, second)


async def test_a_contract_made_from_code_changed_by_one_byte_is_refused_by_name(bed: Bed) -> None:
    artifact = load_artifact("SplitRegistry")
    creation = bytearray(artifact.bytecode)
    place = creation.index(artifact.deployed_bytecode) + _find_fixed_byte("split_registry", len(creation) // 2)
    creation[place] ^= 1
    sender = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    call = {"from": sender, "data": to_hex(bytes(creation)), "gas": hex(5_000_000)}
    tx_hash = await bed.rpc.write("eth_sendTransaction", call)
    receipt = await wait_until(lambda: bed.rpc.read("eth_getTransactionReceipt", tx_hash))
    foreign = Address(parse_hex(receipt["contractAddress"]))
    contracts = msgspec.structs.replace(bed.manifest.contracts, split_registry=foreign)
    with pytest.raises(Permanent, match="is not the SplitRegistry we know; check split_registry"):
        await check_deployment(bed.rpc, msgspec.structs.replace(bed.manifest, contracts=contracts))


@pytest.mark.parametrize("name", ARTIFACT_OF)
async def test_a_contract_of_another_deployment_is_refused(bed: Bed, second: Manifest, name: str) -> None:
    foreign = getattr(second.contracts, name)
    contracts = msgspec.structs.replace(bed.manifest.contracts, **{name: foreign})
    with pytest.raises(Permanent) as caught:
        await check_deployment(bed.rpc, msgspec.structs.replace(bed.manifest, contracts=contracts))
    assert "fix the manifest" in str(caught.value) or "not accepted" in str(caught.value)
    assert checksum_address(foreign) in str(caught.value) or name.endswith("_credit")


async def test_credits_that_change_places_are_refused(bed: Bed) -> None:
    held = bed.manifest.contracts
    swapped = msgspec.structs.replace(held, gpu_credit=held.cpu_credit, cpu_credit=held.gpu_credit)
    with pytest.raises(Permanent, match=r"provider_registry .* is held by others|is of another kind"):
        await check_deployment(bed.rpc, msgspec.structs.replace(bed.manifest, contracts=swapped))


async def test_another_owner_alone_is_told_apart_from_another_bytecode(bed: Bed, second: Manifest) -> None:
    escrow = second.contracts.payment_escrow
    async with other_owner(bed.rpc, escrow):
        other = await find_other_owner(bed.rpc, second)
        assert other is not None and "payment_escrow" in str(other) and "owned by another" in str(other)
        with pytest.raises(Permanent, match="is owned by another than the timelock"):
            await check_deployment(bed.rpc, second)
        registry = second.contracts.provider_registry
        code = await code_of(bed.rpc, registry)
        changed = bytearray(code)
        changed[_find_fixed_byte("provider_registry", len(code))] ^= 1
        await bed.rpc.write("anvil_setCode", to_hex(registry), to_hex(bytes(changed)))
        with pytest.raises(Permanent, match="is not the ProviderRegistry we know"):
            await find_other_owner(bed.rpc, second)
        await bed.rpc.write("anvil_setCode", to_hex(registry), to_hex(code))
    assert await find_other_owner(bed.rpc, second) is None


async def test_no_contract_of_a_deployment_can_be_a_payout(bed: Bed) -> None:
    rows = [(address,) for address in msgspec.structs.astuple(bed.manifest.contracts)]
    assert len(rows) == len(ARTIFACT_OF)
    assert all(await bed.rpc.view_each(bed.manifest.contracts.provider_registry, IS_NOT_PAYABLE, rows))


def _find_fixed_byte(name: str, length: int) -> int:
    """A place in the code that no immutable fills."""
    spans = load_artifact(ARTIFACT_OF[name]).immutables
    place = length // 2
    while any(start <= place < start + size for start, size in spans):
        place += 1
    return place
