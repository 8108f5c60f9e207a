"""Features: one definition, two callers. Nothing here does I/O."""
