"""Keys: keystore files on disk and the signers that use them. No other part sees a private key."""
