"""Kafka, over aiokafka."""
