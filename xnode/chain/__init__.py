"""The settlement contracts' shell: reads, transactions and confirmed logs over any chain node's JSON-RPC."""
