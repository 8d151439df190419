"""Node: a chain node's JSON-RPC: reads, fees, confirmed logs."""
