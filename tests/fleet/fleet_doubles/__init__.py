"""What the fleet's tests play with: real brokers, the gateway as a process, and a box of the protocol alone."""
