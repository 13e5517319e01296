"""What boxes fetch: a TUF repository of the fleet's own, made and signed here."""
