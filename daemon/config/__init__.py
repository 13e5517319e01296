"""`box.toml`: one typed model, read whole or refused whole, with every error and its path."""
