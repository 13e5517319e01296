"""A new payer, on the box's own screen and keypad: consent, face, PIN twice, and only then a record."""
