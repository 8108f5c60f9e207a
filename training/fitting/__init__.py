"""From features to a model: fit, measure, calibrate, export."""
