"""What keeps a process honest while it runs: logs, outages told, progress, the watchdog."""
