"""From a model to the one that is served: record, register, gates, promote."""
