"""The box: what it does with its parts, and the one place where they are joined (`app.py`)."""
