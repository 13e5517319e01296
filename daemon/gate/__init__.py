"""Walk-through: a face in view opens a gate for whoever agreed to the fare before, and is charged for it once."""
