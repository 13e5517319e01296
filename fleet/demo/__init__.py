"""A whole town on one machine: broker, gateway and a virtual box as processes of their own, and a payer's hands.

Speaks to all of them from outside only (command lines, HTTP, the box's websocket), as a person or another system would.
"""
