"""Tests. `tests.servers` starts what they need; `tests/conftest.py` says what every test has."""
