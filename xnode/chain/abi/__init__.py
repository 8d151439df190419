"""ABI: the committed artifacts, and calls, reverts and logs in the contract ABI's bytes."""
