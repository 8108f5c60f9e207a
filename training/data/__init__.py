"""From files to features of a history: read, map columns, simulate, replay, split."""
