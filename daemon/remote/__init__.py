"""What the fleet may ask of a box from afar: each request signed, journaled, done once, and answered."""
