"""The custody ledger: Merkle tree, leaves, checkpoints and receipts. Pure."""
