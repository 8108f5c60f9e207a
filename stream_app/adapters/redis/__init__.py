"""State in Redis, and in memory under the same contract."""
