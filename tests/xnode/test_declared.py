"""Declared: what runs is always one whole declaration; another one is taken in whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.make.scene import open_consoles
from xnode.config.settings import Config
from xnode.console.console import Console
from xnode.declared import Declared, reload_quietly
from xnode.errors import ExitCode, UserError


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Console]:
    level = logging.getLogger().level
    async with open_consoles(tmp_path) as (_, provider):
        yield provider
    logging.getLogger().setLevel(level)


def edit(declared: Declared, before: str, after: str) -> None:
    config = declared.running.home.config
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))


async def test_what_is_declared_otherwise_is_taken_at_once(provider: Console) -> None:
    declared, taken = provider.declared, list[Config]()
    declared.listeners.append(taken.append)
    edit(declared, 'vcpu_hour = "0.02"', 'vcpu_hour = "0.03"')
    edit(declared, "[provider]\n", '[node]\nlog_level = "warning"\n[provider]\nmax_duration = "2h"\n')
    before = declared.settings_hash
    differences = await declared.find_differences()
    assert [one.name for one in differences] == ["node.log_level", "provider.max_duration", "provider.prices.vcpu_hour"]
    assert await declared.reload() == differences and await declared.find_differences() == ()
    settings = provider.loop.state.settings
    assert settings.provider is not None
    assert (settings.provider.tariff.vcpu_hour, settings.provider.max_duration_ns) == (3 * 10**16, 7_200 * 10**9)
    assert settings.settings_hash == declared.settings_hash != before
    assert logging.getLogger().level == logging.WARNING
    assert taken == [declared.running]


@pytest.mark.parametrize(
    ("before", "after", "words", "code"),
    [
        ("vcpus = 8", "vcpus = 0", "greater than 0", ExitCode.USAGE),
        ("[provider]", "[provider", "not valid TOML", ExitCode.USAGE),
        ("vcpus = 8", "vcpus = 8\ngpus = 1", "this needs a restart: provider.share.gpus", ExitCode.CONFLICT),
        (
            "[provider]",
            '[node]\nhttp = "127.0.0.1:1"\n[provider]',
            "this needs a restart: node.http",
            ExitCode.CONFLICT,
        ),
        ('region = "', 'asset = "NONE"\nregion = "', "restart: provider.asset", ExitCode.CONFLICT),
    ],
)
async def test_a_mistake_or_what_needs_a_restart_changes_nothing(
    provider: Console, before: str, after: str, words: str, code: ExitCode
) -> None:
    declared, state, running = provider.declared, provider.loop.state, provider.declared.running
    edit(declared, 'vcpu_hour = "0.02"', 'vcpu_hour = "0.03"')
    edit(declared, before, after)
    with pytest.raises(UserError) as caught:
        await declared.reload()
    assert words in caught.value.sentence and caught.value.code == code
    assert declared.running is running and provider.loop.state is state, "not even the price"
    await reload_quietly(declared)
    assert declared.running is running and provider.loop.state is state


async def test_a_price_that_the_asset_cannot_be_paid_in_changes_nothing(provider: Console) -> None:
    declared, running = provider.declared, provider.declared.running
    asset = msgspec.structs.replace(declared.manifest.assets[0], decimals=6)
    declared.manifest = msgspec.structs.replace(declared.manifest, assets=(asset,))
    edit(declared, 'vcpu_hour = "0.02"', 'vcpu_hour = "0.0000001"')
    with pytest.raises(UserError, match=r"provider\.prices\.vcpu_hour: .*finer than 6 decimals"):
        await declared.reload()
    assert declared.running is running


async def test_a_price_that_was_set_is_part_of_what_runs(provider: Console) -> None:
    declared, before = provider.declared, provider.declared.settings_hash
    await declared.set_prices({"vcpu_hour": "0.5"})
    assert provider.loop.state.settings.settings_hash == declared.settings_hash != before
    (difference,) = await declared.find_differences()
    assert (difference.name, difference.before, difference.after) == ("provider.prices.vcpu_hour", '"0.5"', '"0.02"')
    edit(declared, 'vcpu_hour = "0.02"', 'vcpu_hour = "0.50"')
    assert await declared.find_differences() == (), "once it is declared, too"
