"""Recomputing what was decided, from the topics alone. Nothing here does I/O."""
