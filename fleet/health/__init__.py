"""How the boxes are: what was last heard of each, and what an operator sees of it."""
