"""Kafka by aiokafka: records read within bounds, published durably, topics."""
