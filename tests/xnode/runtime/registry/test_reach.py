"""A registry's name is resolved once, all its addresses are checked, and the connection goes to one that was."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import httpcore2
import psutil
import pytest
import trio

from scheduler.registry import Address
from xnode.errors import Permanent
from xnode.runtime.registry.reach import Reach

PUBLIC, OTHER = "1.1.1.1", "2606:4700::1111"


class Resolver:
    """Gives these answers, one after the other; the last one again and again."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self.answers, self.asked = [tuple(ip_address(one) for one in answer) for answer in answers], 0

    async def __call__(self, _host: str) -> tuple[Address, ...]:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


class Dialled(httpcore2.AsyncNetworkBackend):
    """Where connections would go to; none comes to be."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    async def connect_tcp(self, host: str, port: int, *_rest: Any) -> httpcore2.AsyncNetworkStream:
        await trio.lowlevel.checkpoint()
        self.hosts.append(host)
        raise httpcore2.ConnectError("nobody there")


async def dial(resolver: Resolver, host: str = "registry.example", allowed: tuple[str, ...] = ()) -> list[str]:
    reach, dialled = Reach(allowed, resolver), Dialled()
    reach.inner = dialled
    with pytest.raises(httpcore2.ConnectError):
        await reach.connect_tcp(host, 443)
    return dialled.hosts


async def test_connection_goes_to_the_address_that_was_checked_and_no_name_is_resolved_again() -> None:
    resolver = Resolver([PUBLIC, OTHER], ["127.0.0.1"])
    assert await dial(resolver) == [PUBLIC, OTHER]
    assert resolver.asked == 1


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"])
async def test_one_address_inside_among_public_ones_is_refused_whole(inside: str) -> None:
    reach, dialled = Reach((), Resolver([PUBLIC, inside])), Dialled()
    reach.inner = dialled
    with pytest.raises(Permanent, match="no public address") as caught:
        await reach.connect_tcp("registry.example", 443)
    assert dialled.hosts == [] and caught.value.reason_code == "image_address"
    # The other side does not learn what our resolver says.
    assert inside not in caught.value.told and caught.value.told


async def test_a_host_with_a_hundred_addresses_is_tried_at_a_few() -> None:
    assert len(await dial(Resolver([f"1.1.1.{number}" for number in range(1, 101)]))) == 4


async def test_our_own_address_is_refused_also_when_it_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = psutil.net_if_addrs()
    entry = next(iter(ours.values()))[0]._replace(address=PUBLIC, family=socket.AF_INET)
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth9": [entry]})
    with pytest.raises(Permanent, match="no public address of another host"):
        await Reach((), Resolver([PUBLIC])).connect_tcp("registry.example", 443)


async def test_name_of_this_host_is_refused_by_the_real_resolver_also_when_it_is_listed() -> None:
    with pytest.raises(Permanent, match="no public address"):
        await Reach(("localhost:5000",)).connect_tcp("localhost", 5000)


async def test_only_the_address_that_the_operator_wrote_is_reached_inside() -> None:
    reach = Reach(("10.0.0.5:5000",))
    assert await reach.find_addresses("10.0.0.5", 5000) == (ip_address("10.0.0.5"),)
    for host, port in (("10.0.0.5", 443), ("10.0.0.5", 22), ("10.0.0.6", 5000)):
        with pytest.raises(Permanent):
            await reach.find_addresses(host, port)


@pytest.mark.parametrize(
    "url",
    [
        "http://registry.example/v2/",
        "https://registry.example:8443/v2/",
        "https://user:word@registry.example/v2/",
        "ftp://registry.example/",
        "file:///etc/passwd",
        "https://registry.example:99999/",
        "https://[::1/",
        "https://registry.example/\r\nHost: inside",
        "http://127.0.0.1:5001/",
        "",
        "https://registry.example/" + "x" * 9000,
    ],
)
def test_url_that_a_registry_may_not_send_us_to(url: str) -> None:
    with pytest.raises(Permanent) as caught:
        Reach(("127.0.0.1:5000",)).check_url(url)
    assert caught.value.reason_code == "image_address"


def test_url_of_storage_behind_a_registry_is_followed() -> None:
    reach = Reach(("127.0.0.1:5000", "registry.example:8443"))
    for url in ("https://cdn.example/blob?sig=1", "http://127.0.0.1:5000/v2/", "https://registry.example:8443/v2/"):
        reach.check_url(url)
