"""The submitter's half of a node: its jobs, the leases it pays for, the escrows it pays from.

Importing it registers every handler of it.
"""

from xnode.node.submitter import compensation, job, lease, money, outputs, seek

__all__ = ["compensation", "job", "lease", "money", "outputs", "seek"]
