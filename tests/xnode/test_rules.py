"""The node's settings from its configuration and the deployment's manifest."""

from __future__ import annotations

import msgspec
import pytest

from tests.make.values import address_of, make_profile
from tests.xnode.chain.deployment.test_manifest import MANIFEST
from xnode.config.settings import ProviderConfig, SubmitterConfig
from xnode.rules import make_provider_settings, make_submitter_settings


@pytest.mark.parametrize(("own_s", "least_s", "thaw_s"), [(7_200, 0, 7_200), (7_200, 86_400, 86_400), (9, 5, 9)])
def test_a_thaw_is_never_less_than_the_deployment_takes(own_s: int, least_s: int, thaw_s: int) -> None:
    manifest = msgspec.structs.replace(MANIFEST, min_thaw_s=least_s)
    buys = SubmitterConfig.model_validate({"payer": "0x" + address_of(1).hex(), "thaw_s": own_s})
    submitter = make_submitter_settings(buys, manifest)
    assert submitter is not None and submitter.thaw == thaw_s
    fields = {
        "owner": "0x" + address_of(2).hex(),
        "region": "eu-west",
        "prices": {"vcpu_hour": "1", "memory_gib_hour": "1"},
        "share": {"vcpus": 1, "memory": "1GiB", "disk": "1GiB"},
        "thaw_s": own_s,
    }
    assert make_provider_settings(ProviderConfig.model_validate(fields), manifest, make_profile()).thaw == thaw_s


def test_a_day_is_left_to_claim_where_nothing_else_is_said() -> None:
    assert SubmitterConfig().thaw_s == 86_400
