"""Doubles of payment providers: real HTTP servers that check signatures and follow the published state machines."""
