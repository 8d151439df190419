"""`xnode chain` and `xnode devnet`: the contracts themselves."""
