"""Configs for many boxes: layers, canaries, and when to stop."""
