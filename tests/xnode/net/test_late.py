"""What libp2p imports and we do not use is not loaded, and is whole for whoever wants it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import xnode.net.edge
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"urllib3", "charset_normalizer", "zeroconf", "aioquic", "dns", "websockets"}, loaded
assert not [name for name in sys.modules if name.startswith(("httpx.", "requests."))]
from httpx import Client
import requests.adapters
import requests
import dns.resolver
import zeroconf
assert zeroconf.Zeroconf.close and dns.resolver.Resolver(configure=False).nameservers == []
assert issubclass(requests.adapters.HTTPAdapter, object) and callable(requests.get) and Client.get
"""


def test_the_net_opens_without_libraries_that_it_does_not_use() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
