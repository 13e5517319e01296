"""What is written down and never lost: orders, attempts, the journal, and the one thread that writes them."""
