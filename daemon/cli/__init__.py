"""`kingfisher`: one module for each command; `main` joins them."""
