"""From features to a model: recipes, fit, measure, calibrate, export."""
