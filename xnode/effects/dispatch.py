"""Dispatch: each effect to the role that performs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from xnode.effects import provider as provider_side
from xnode.effects import submitter as submitter_side
from xnode.effects.provider import ProviderEffects
from xnode.effects.submitter import SubmitterEffects
from xnode.errors import Permanent
from xnode.node.changes import Change
from xnode.node.effects import DurableEffect


def make_perform(
    provider: ProviderEffects | None, submitter: SubmitterEffects
) -> Callable[[DurableEffect], Awaitable[Change]]:
    """Performs any effect; a provider's only where there is a provider."""

    async def perform(effect: DurableEffect) -> Change:
        action = submitter_side.performs.find(effect)
        if action is not None:
            return await action(submitter, effect)
        if provider is None:
            raise Permanent(
                "this node is not a provider anymore", code="role", hint="run it with its [provider] section"
            )
        served = provider_side.performs.find(effect)
        assert served is not None, f"no role performs {type(effect).__name__}"
        return await served(provider, effect)

    return perform
