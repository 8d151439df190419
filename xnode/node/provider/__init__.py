"""The provider's half of a node: its offer, its quotes, the leases it serves, the money it earns.

Importing it registers every handler of it.
"""

from xnode.node.provider import drain, ending, gpus, lease, money, offer, quote, silence

__all__ = ["drain", "ending", "gpus", "lease", "money", "offer", "quote", "silence"]
