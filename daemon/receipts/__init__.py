"""Receipts: what was paid, to whom and when, as text, as ESC/POS and as a QR code; nothing about who paid."""
