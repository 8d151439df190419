"""xnode: the node daemon of a decentralized compute marketplace."""

__version__ = "0.6.0"
