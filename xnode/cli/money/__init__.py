"""`xnode pay` and `xnode wallet`: deposits, withdrawals, keys."""
