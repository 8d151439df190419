"""`xnode daemon` and `xnode doctor`: the node itself."""
