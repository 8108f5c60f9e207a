"""A process that can be looked after: logs, outages, progress, watchdog."""
