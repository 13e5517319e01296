"""The payment core: pure data and pure functions, from an order's arrival to its last state.

`core.step(state, event, now)` is the whole of it; nothing in this package does I/O, reads a clock or draws.
"""
