"""Which models the pipeline runs: declared in a manifest, fetched by `pull`, believed only after `verify`."""
