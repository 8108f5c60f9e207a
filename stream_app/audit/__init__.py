"""Served decisions computed again from the topics alone: `fraudstream verify`."""
