"""Whether the box is well: small checks, each of which names what is wrong and what to do."""
