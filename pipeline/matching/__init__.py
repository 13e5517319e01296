"""1:N search. Import from `pipeline.match`."""
