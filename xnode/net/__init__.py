"""Net: libp2p behind one narrow door. Import `xnode.net.edge` to open it; importing this package costs nothing."""

from xnode.net.late import load_late, load_libp2p_alone

# Before any module of this package imports libp2p.
load_late()
load_libp2p_alone()
