"""HOW MUCH: usage, prices, receipts and vouchers. Only computes; imports nothing that waits, stores or sends."""
