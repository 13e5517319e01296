"""How each view stands on the display, grouped by what the person is doing: paying, enrolling, or just passing by."""
