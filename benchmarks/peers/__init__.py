"""Other systems that do the same job in the same run: `make bench-peers`."""
