"""What the tests of the daemon are played with."""
