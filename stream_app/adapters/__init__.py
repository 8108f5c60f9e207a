"""The outside: Kafka, Redis, MLflow, onnxruntime, Prometheus. Only the composition root and the commands import these."""
