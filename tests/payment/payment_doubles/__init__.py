"""What stands around the core in a test: a disk, a wire, a gateway, a store that knows one PIN."""
