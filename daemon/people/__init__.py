"""The payers whom the box knows: their store, their faces, their factors, and their leaving."""
