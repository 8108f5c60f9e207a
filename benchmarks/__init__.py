"""Measurements on real servers. Not tests: nothing here fails on a slow machine."""
