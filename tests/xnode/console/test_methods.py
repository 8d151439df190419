"""Control methods: found by themselves, strict about their parameters, and documented as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio

from metering.money_words import say_amount, say_stake
from metering.units import NANOS_PER_SECOND, Address, Amount
from tests.make.scene import Registry, make_registry, make_scene, open_consoles
from tests.make.values import ASSET
from tests.xnode.console.asking import ask
from xnode.chain.deployment.manifest import Asset
from xnode.console.console import Console
from xnode.console.method import NoParams, control_method, find_methods
from xnode.console.present import Presenter
from xnode.console.standing import find_standing
from xnode.control import views
from xnode.control.answers import FORMS
from xnode.delivery import find_target_problem
from xnode.errors import ExitCode, UserError
from xnode.node.lease import HOLDING
from xnode.node.records import Compensation, ProviderLease, SilenceClaim, SubmitterEscrow, SubmitterLease, TimelineEntry
from xnode.node.state import kind_of
from xnode.node.sums import EarnedDay
from xnode.ports.capacity import Verified
from xnode.ports.chain import Fuel, Staked
from xnode.store.journal import Batch
from xnode.text.amount import format_amount

ROOT = Path(__file__).parents[3]
OTHER_ASSET = Address(b"\xbb" * 20)


def test_every_method_says_what_it_does_and_takes_no_parameter_that_it_does_not_name() -> None:
    for method in find_methods().values():
        assert method.summary.endswith("."), method.name
        assert method.params.__struct_config__.forbid_unknown_fields, method.name


def test_a_method_knows_its_parameters_its_result_and_whether_it_streams() -> None:
    @control_method("test.name")
    async def answer(_console: Console, _params: NoParams) -> list[str]:
        """Names."""
        return []

    assert (answer.name, answer.params, answer.result, answer.streams) == ("test.name", NoParams, list[str], False)
    assert [find_methods()[name].streams for name in ("job.logs", "job.show")] == [True, False]


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("job.show", {}, "missing required field `job_id`"),
        ("job.show", {"job_id": 7}, "Expected `str`"),
        ("job.wait", {"job_id": "0x", "setled": True}, "unknown field `setled`"),
        ("job.logs", {"job_id": "0x", "offset": "1"}, "Expected `int`"),
        ("job.logs", {"job_id": "0x", "offset": -1}, "Expected `int` >= 0"),
        ("node.status", {"verbose": True}, "unknown field `verbose`"),
        ("provider.set_price", {"prices": {"gpu_hour": 2}}, "Expected `str`"),
    ],
)
async def test_a_wrong_parameter_is_named_and_nothing_is_done(
    tmp_path: Path, name: str, params: dict[str, object], words: str
) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        with pytest.raises(UserError) as caught:
            await ask(provider, name, **params)
        assert words in caught.value.what and caught.value.where == name and caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize("offset", [10**18, 2**63, 10**30])
async def test_a_log_from_beyond_its_end_is_empty(tmp_path: Path, offset: int) -> None:
    async with open_consoles(tmp_path) as (submitter, _):
        job_id = make_scene().paid.hex()
        assert await ask(submitter, "job.logs", job_id=job_id)
        assert await ask(submitter, "job.logs", job_id=job_id, offset=offset) == []


async def test_a_node_that_is_not_a_provider_says_so(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (submitter, _):
        for name in ("provider.status", "provider.documents"):
            with pytest.raises(UserError, match="not a provider"):
                await ask(submitter, name)


async def test_what_the_chain_was_not_asked_is_not_known_and_not_zero(tmp_path: Path) -> None:
    registry = make_registry()
    registry.is_away = True
    async with open_consoles(tmp_path, registry) as (submitter, provider):
        assert {row.stake for row in await ask(submitter, "offer.list")} == {None}
        status = await ask(provider, "provider.status")
        assert (status.registered, status.stake) == (None, None)
        assert any("chain cannot be asked" in hint for hint in status.hints)


async def test_earnings_count_each_lease_in_its_own_asset_and_the_archived_ones_too(tmp_path: Path) -> None:
    leases = make_scene().world.leases(1)
    old = EarnedDay(3, OTHER_ASSET, earned=Amount(7), claimed=Amount(5), leases=1)
    async with open_consoles(tmp_path) as (_, provider):
        await provider.journal.commit(Batch(records={(kind_of(EarnedDay), old.key): (old, False)}))
        other, ours = (await ask(provider, "provider.earnings")).rows
    assert (ours.asset, ours.leases) == ("OPENX", len(leases))
    assert ours.earned == format_amount(Amount(sum(one.last.cost for one in leases)), 18)
    assert (other.asset, other.leases, other.earned) == (f"0x{OTHER_ASSET.hex()}", 1, "7")
    assert (other.vouchered, other.claimed, other.pending) == ("5", "5", "0")


async def test_a_job_keeps_its_cost_when_its_lease_is_archived(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        before = await ask(submitter, "job.show", job_id=scene.paid.hex())
        state = submitter.loop.state
        for lease in tuple(state.all(SubmitterLease)):
            state = state.drop(lease)
        for escrow in tuple(state.all(SubmitterEscrow)):
            state = state.drop(escrow)
        submitter.loop.state = state
        assert await ask(submitter, "job.show", job_id=scene.paid.hex()) == before
        (row,) = (one for one in (await ask(submitter, "job.list")).rows if one.job_id == before.job.job_id)
    assert row == before.job and row.cost != "0" and row.provider
    assert before.vouchered == before.settled == row.cost


async def test_a_status_says_what_is_leased_and_until_when_a_doubted_capacity_stands(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (_, provider):
        before = await ask(provider, "provider.status")
        settings = provider.loop.state.settings
        assert settings.provider is not None
        until_s = provider.clock.now_ns() // NANOS_PER_SECOND + 3_600
        doubted = msgspec.structs.replace(settings.provider, in_doubt_until_s=until_s)
        provider.loop.state = provider.loop.state.put(msgspec.structs.replace(settings, provider=doubted))
        after = await ask(provider, "provider.status")
    holding = [one for one in scene.world.leases(1) if one.status in HOLDING]
    assert holding and before.leased.vcpu_milli == sum(one.terms.resources.vcpu_milli for one in holding)
    assert not any("was failed" in hint for hint in before.hints)
    (hint,) = (one for one in after.hints if "was failed" in one)
    assert "ends in 1h" in hint and "capacity request" in hint


async def test_a_status_says_first_that_credits_are_in_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        assert not any("credits" in one for one in (await ask(provider, "provider.status")).hints)

        async def read_stakes(providers: Sequence[Address]) -> dict[Address, Staked]:
            return {one: Staked(Amount(5), in_default=True) for one in providers}

        monkeypatch.setattr(provider.market.registrations, "read_stakes", read_stakes)
        hints = (await ask(provider, "provider.status")).hints
    assert hints[0].startswith("credits that were sold cannot be served")


async def test_a_status_says_what_the_chain_holds_against_a_provider(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        held = find_standing(Verified(0, 0, is_jailed=True, in_default=True))
        against = dataclasses.replace(provider, node=dataclasses.replace(provider.node, ready=lambda: held))
        well, hints = [(await ask(one, "provider.status")).hints for one in (provider, against)]
    assert find_standing(None) == find_standing(Verified(0, 0)) == {}
    for words in ("jailed", "cannot be served"):
        assert any(words in one for one in hints) and not any(words in one for one in well)


async def test_a_status_has_the_reason_of_the_challenge_that_was_drawn_last(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        failed = (await ask(provider, "provider.status")).challenge_failed
    assert failed is not None and failed.reason == "a later one" and failed.challenge_id == "0x" + "01" * 32


async def test_a_status_says_of_a_claim_of_silence_that_cannot_be_answered(tmp_path: Path) -> None:
    lease, now_ns = make_scene().world.leases(1)[0], make_scene().now_ns
    assert isinstance(lease, ProviderLease)
    until_s = now_ns // NANOS_PER_SECOND + 7_260
    claim = SilenceClaim(lease.lease_id, 1, 0, until_s, now_ns, lease.last, lease.terms.node, now_ns, problem="no gas")
    async with open_consoles(tmp_path) as (_, provider):
        provider.loop.state = provider.loop.state.put(claim)
        status = await ask(provider, "provider.status")
        claimed = await ask(provider, "provider.leases")
        provider.loop.state = provider.loop.state.put(msgspec.structs.replace(claim, is_answered=True, problem=""))
        after, answered = await ask(provider, "provider.status"), await ask(provider, "provider.leases")
    (hint,) = (one for one in status.hints if "is silent" in one)
    assert f"0x{lease.lease_id.hex()[:16]}" in hint and "in 2h" in hint and hint.endswith("no gas")
    assert not any("is silent" in one for one in after.hints)
    (row,) = (one for one in claimed.rows if one.state.endswith(", silence claimed"))
    assert row.lease_id == f"0x{lease.lease_id.hex()}"
    assert not any("silence" in one.state for one in answered.rows)


async def test_a_status_says_what_is_awaited_out_of_stake_and_whether_there_is_gas_for_it(tmp_path: Path) -> None:
    lease, at_s = make_scene().world.leases(0)[0], make_scene().now_ns // NANOS_PER_SECOND + 86_430
    one = Compensation(lease.lease_id, Amount(4 * 10**18), at_s, at_s + 7 * 86_400, wake_at_ns=None)
    async with open_consoles(tmp_path) as (submitter, _):
        before = await ask(submitter, "node.status")
        submitter.loop.state = submitter.loop.state.put(
            msgspec.structs.replace(one, wake_at_ns=at_s * NANOS_PER_SECOND)
        )
        rich = await ask(submitter, "node.status")
        broke = dataclasses.replace(submitter, node=dataclasses.replace(submitter.node, fuel=lambda: Fuel(0, 0)))
        poor = await ask(broke, "node.status")
    assert not any("out of stake" in one for one in before.hints)
    assert any("4 OPENX comes out of stake" in one and "collects it between 1d" in one for one in rich.hints)
    assert any("no gas to collect it" in one for one in poor.hints)


async def test_a_stake_is_shown_in_openx_whatever_the_prices_are_in(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        dollars = Presenter({ASSET: Asset("USDC", 6, ASSET)})
        status = await ask(dataclasses.replace(provider, presenter=dollars), "provider.status")
    assert (status.asset, status.stake) == ("USDC", "250")


async def test_receipts_are_those_that_were_accepted_and_paid_for(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        rows = await ask(submitter, "job.receipts", job_id=scene.paid.hex())
    assert len(rows) == scene.lease(scene.paid).receipts
    assert all(row.vouchered for row in rows) and [row.final for row in rows] == [False] * (len(rows) - 1) + [True]


async def test_a_score_in_the_timeline_is_not_taken_for_a_price(tmp_path: Path) -> None:
    node = "0x" + "8c" * 20
    entry = TimelineEntry(0, "choice", "the cheapest", ((node, "7700000000000000"), ("cost", "10000000000000000")))
    async with open_consoles(tmp_path) as (submitter, _):
        shown = submitter.presenter.entry(entry, ASSET).detail
    assert shown == f"the cheapest  score {node}=0.0077  cost=0.01 OPENX"


def test_a_client_knows_the_form_of_every_answer() -> None:
    assert {name: method.result for name, method in find_methods().items()} == FORMS


async def test_a_status_does_not_wait_for_a_silent_chain_and_says_what_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Registry):
        async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
            await trio.sleep_forever()

        async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
            await trio.sleep_forever()

    async with open_consoles(tmp_path, Silent(make_registry().owners)) as (_, provider):
        monkeypatch.setattr("xnode.console.provider.LOOK_S", 0.05)
        with trio.fail_after(20):
            status = await ask(provider, "provider.status")
    assert (status.registered, status.stake) == (None, None)
    assert any("has not answered for 0.05 s" in hint for hint in status.hints)


def test_a_refusal_is_said_in_units_of_its_asset() -> None:
    usd = Asset("USD", 6, OTHER_ASSET)
    presenter = Presenter({OTHER_ASSET: usd})
    text = f"budget: the job may cost {say_amount(2_500_000, OTHER_ASSET)} here, its budget is {say_amount(1, OTHER_ASSET)}"
    assert presenter.words(text) == "budget: the job may cost 2.5 USD here, its budget is 0.000001 USD"
    # Two amounts that differ in what would be cut stay apart.
    near = f"{say_amount(12_345_678_900_001, OTHER_ASSET)} and {say_amount(12_345_678_900_002, OTHER_ASSET)}"
    assert presenter.words(near) == "12345678.900001 USD and 12345678.900002 USD"
    assert presenter.words(f"paid in asset 0x{OTHER_ASSET.hex()}") == "paid in asset USD"
    short = f"its stake is {say_stake(0)}, the job asks for {say_stake(100 * 10**18)}"
    assert presenter.words(short) == "its stake is 0 OPENX, the job asks for 100 OPENX"
    unknown = say_amount(5, Address(bytes(20)))
    assert presenter.words(unknown) == unknown


async def test_an_outputs_folder_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = "image: oci:./image\ntime_limit: 1m\nbudget: 1 OPENX\noutputs: ./file/results\n"
    async with open_consoles(tmp_path / "nodes") as (submitter, _):
        before = len((await ask(submitter, "job.list")).rows)
        with pytest.raises(UserError, match="file/results cannot be written: Not a directory") as caught:
            await ask(submitter, "job.submit", job=job, base_dir=str(tmp_path))
        assert "--out" in caught.value.hint and len((await ask(submitter, "job.list")).rows) == before


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    assert find_target_problem(tmp_path / "a" / "b") == "" and list(tmp_path.iterdir()) == []
    assert "cannot be written" in find_target_problem(tmp_path / ("x" * 300))
    assert "cannot be written" in find_target_problem(Path("/proc/nowhere"))


async def test_demands_to_show_answers_are_said_with_their_time_and_those_that_cannot_be_met(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (_, provider):
        status = await ask(provider, "provider.status")
    said = "3 or more demands to show leaves of recorded answers, the first due by 2027-01-15 08:00 UTC"
    assert f"{said}; 1 cannot be met in time: the device is at work" in status.hints
    assert status.reveals == views.Reveals(3, True, 1_800_000_000, 1, "the device is at work")
