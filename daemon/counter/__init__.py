"""The clerk's side of the box: an amount typed on the keypad, goods scanned into a cart, the order that comes of it."""
