"""A file to an integer model that runs."""
