"""The field's own metrics on pictures that somebody brings: verification, open-set identification, PAD, calibration."""
