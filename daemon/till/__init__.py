"""The shop's till on a serial line: it asks for payments and hears how they end. See docs/protocol/till-line.md."""
