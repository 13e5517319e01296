"""Boxes without bodies: the contract and the payment core of a real one, thousands to a process, for load and chaos."""
