"""The ways money is really moved: one adapter per kind of provider, all behind `adapter.Channel`."""
