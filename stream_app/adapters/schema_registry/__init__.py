"""Schemas of other people's records, from a registry that speaks Confluent's API."""
