"""Network: a namespace of our own for a workload that may use the network, with a policy and byte counts outside its
reach.

The workload gets one address of a point-to-point link, translated on its way out. It reaches public IPv4 addresses and
nothing else: not this host (whatever address it is asked by), not private, link-local or other leases' addresses, not
IPv6; nothing can connect to it. The byte counts are those of our end of the link, which stays until the lease is removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from xnode.errors import Retryable
from xnode.runtime.host.program import run_tool
from xnode.runtime.host.reservations import UID_FIRST, UID_RANGE

FIRST_ADDRESS = IPv4Address("198.18.0.0")
"""Addresses set aside for testing networks, which no real one uses: four for each lease."""

BLOCKED = (
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, "
    "198.18.0.0/15, 224.0.0.0/4, 240.0.0.0/4"
)
"""Not public: private networks, clouds' metadata addresses, other leases, multicast."""

RESOLVERS = ("9.9.9.9", "1.1.1.1")
"""The host's own resolver is usually at a private address, which a workload must not reach."""

RESOLV_CONF = "".join(f"nameserver {address}\n" for address in RESOLVERS)

SPENT = re.compile(r"quota over .* counter packets (\d+)")
"""The rule of a quota, and how many packets it has dropped."""

TOOL_DEADLINE_S = 30.0

_run = partial(run_tool, deadline_s=TOOL_DEADLINE_S)


@dataclass(frozen=True, slots=True)
class LeaseNetwork:
    """The network of the lease with this number among those of the host; all methods block, and are safe to call
    twice. limit_bytes: what may pass each way (None: any amount)."""

    number: int
    limit_bytes: int | None = None

    @property
    def name(self) -> str:
        """Of namespace, host's end of the link and nftables table; short enough for an interface."""
        return f"xnode{self.number}"

    @property
    def _ours(self) -> IPv4Address:
        return FIRST_ADDRESS + 4 * self.number + 1

    @property
    def _theirs(self) -> IPv4Address:
        return FIRST_ADDRESS + 4 * self.number + 2

    def create(self) -> None:
        """Make policy and link; the policy first, so that the link is never open."""
        self.remove()
        _run("nft", "-f", "-", text=make_policy(self.name, self._theirs, self.limit_bytes))
        lines = (
            f"link add {self.name} type veth peer name {self.name}in",
            f"addr add {self._ours}/30 dev {self.name}",
            f"link set {self.name} up",
        )
        _run("ip", "-batch", "-", text="\n".join(lines) + "\n")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def make_attach_script(self) -> str:
        """A shell script that gives the link to the container whose first process is $1, before it starts.

        The namespace is the container's own, made with its user namespace: only then does it see a /sys of its own, and
        not this host's. Naming it keeps it, and with it the byte counts, after the container has gone.
        """
        return f"""set -e
ip netns attach {self.name} "$1"
ip link set {self.name}in netns {self.name} name eth0
ip -netns {self.name} -batch - <<END
addr add {self._theirs}/30 dev eth0
link set eth0 up
route add default via {self._ours}
END
"""

    def is_spent(self) -> bool:
        """True when the limit has dropped a packet; the rules stay until remove(). False when they are gone."""
        try:
            return has_dropped(_run("nft", "list", "table", "inet", self.name))
        except Retryable:
            return False

    def remove(self) -> None:
        """Take it all away; the link goes with the namespace."""
        if Path("/run/netns", self.name).exists():
            _run("ip", "netns", "delete", self.name)
        self._remove_link()
        _run("nft", "-f", "-", text=f"table inet {self.name} {{}}\ndelete table inet {self.name}\n")

    def _remove_link(self) -> None:
        """The link goes with its namespace, but a moment later."""
        link = Path("/sys/class/net", self.name)
        try:
            if link.exists():
                _run("ip", "link", "delete", self.name)
        except Retryable:
            if link.exists():
                raise

    def read_bytes(self) -> tuple[int, int]:
        """(into, out of) the workload since its start, also after its exit; zero when the link is gone."""
        folder = Path("/sys/class/net", self.name, "statistics")
        try:
            return int((folder / "tx_bytes").read_text()), int((folder / "rx_bytes").read_text())
        except FileNotFoundError:
            return 0, 0


def has_dropped(rules: str) -> bool:
    """True when a quota has dropped a packet, by the rules as nft prints them."""
    return any(int(packets) for packets in SPENT.findall(rules))


def make_network(uid_base: int, limit_bytes: int | None = None) -> LeaseNetwork:
    """The network of the lease with this user id range: both are numbered alike, so one claim serves for both."""
    return LeaseNetwork((uid_base - UID_FIRST) // UID_RANGE, limit_bytes)


def make_policy(link: str, address: IPv4Address, limit_bytes: int | None = None) -> str:
    """The nftables rules of one link. They come before (priority -10) those of others, and only ever drop: what the
    operator forbids stays forbidden. The quotas count what the rules before them let through, a flow's every packet;
    the kernel keeps them while no daemon runs."""
    quota = "" if limit_bytes is None else f"quota over {limit_bytes} bytes counter drop"
    return f"""table inet {link} {{}}
delete table inet {link}
table inet {link} {{
  chain to_host {{
    type filter hook input priority -10; policy accept;
    iifname "{link}" drop
  }}
  chain through_host {{
    type filter hook forward priority -10; policy accept;
    iifname "{link}" meta nfproto ipv6 drop
    iifname "{link}" ip saddr != {address} drop
    iifname "{link}" ip daddr {{ {BLOCKED} }} drop
    oifname "{link}" ct state != {{ established, related }} drop
    {f'iifname "{link}" {quota}' if quota else ""}
    {f'oifname "{link}" {quota}' if quota else ""}
  }}
  chain translate {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {address} oifname != "{link}" masquerade
  }}
}}
"""
