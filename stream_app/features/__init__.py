"""The feature list as data, its tiles, the kernel that computes them, packed rows: equal offline and online."""
