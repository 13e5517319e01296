"""Pixels in, a Decision with its reasons out; no I/O after the models are loaded."""
