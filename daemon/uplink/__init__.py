"""The box's line to its fleet: what came in and is believed, what goes out, and what time it is."""
