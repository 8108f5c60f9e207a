"""`make rules-check`: see `tests.rules_check.run`."""
