"""The submitter's half of a node: jobs, leases it pays for, escrows it pays from."""
