"""ONNX Runtime, and MLflow's registry."""
