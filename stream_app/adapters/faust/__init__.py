"""Faust's worker, around the partitions."""
