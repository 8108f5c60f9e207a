"""From files, or a simulation, to the features of a history, split by time."""
