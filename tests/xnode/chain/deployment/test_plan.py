"""The plan of a deployment as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from metering.units import ZERO_ADDRESS
from xnode.chain.deployment.plan import read_plan
from xnode.errors import UserError

EXAMPLE = Path(__file__).parents[4] / "contracts" / "plan.example.toml"
TOKEN = 10**18


def test_the_example_is_a_plan() -> None:
    plan = read_plan(EXAMPLE)
    assert plan.openx.supply == 10**9 * TOKEN
    assert plan.governance.executors == (ZERO_ADDRESS,)
    assert plan.credits.cpu_collateral == TOKEN // 20
    settings, classes = plan.make_rules_values()
    assert settings[:5] == (4, 7, 5, 7, 21) and settings[-2:] == (5 * TOKEN, TOKEN // 2)
    assert plan.make_verifier_values() == (1_814_400, 20_000 * TOKEN)
    assert [one[:3] for one in classes] == [("cpu", 1, 1000), ("gpu-80g", 0, 1000)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"0.05"', "0.05", "credits.cpu_collateral"),
        ('"0.05"', '"much"', "credits.cpu_collateral"),
        ("0000C1", "0000C", "governance: guardian"),
        ("window_hours = 720", "window = 720", "credits"),
        ("delay_s = 172_800", 'delay_s = "long"', "governance.delay_s"),
        ('kind = "cpu"', 'kind = "tpu"', "classes[0].kind"),
        ("confirmations = 12", "confirmations = 0", "confirmations"),
        ("[openx]", "[openx", "not TOML"),
        ("quorum = 5", "", "quorum"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, before: str, after: str, told: str) -> None:
    text = EXAMPLE.read_text()
    assert before in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(before, after))
    with pytest.raises(UserError) as caught:
        read_plan(path)
    assert told in str(caught.value) and str(path) in str(caught.value)


def test_another_plan_has_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(EXAMPLE.read_text().replace("quorum = 5", "quorum = 6"))
    assert read_plan(path).digest() != read_plan(EXAMPLE).digest()
    assert read_plan(EXAMPLE).digest() == read_plan(EXAMPLE).digest()
