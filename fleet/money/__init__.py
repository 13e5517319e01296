"""The fleet's ledger and all that moves money: orders, attempts, refunds, reconciliation."""
