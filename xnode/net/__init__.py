"""Net: libp2p behind one narrow door. Import `xnode.net.edge` to open it; importing this package costs nothing."""
