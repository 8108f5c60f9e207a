"""`make watch-check`: see `tests.watch.run`."""
