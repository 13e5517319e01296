"""Commands to one box from afar, and what they brought to light."""
