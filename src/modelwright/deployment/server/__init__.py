"""A package behind HTTP: loopback and a token by default, one JSON error shape, no script from anywhere."""
