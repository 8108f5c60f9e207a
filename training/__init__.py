"""A model's path: simulate, read, replay, split, fit, evaluate, export, register."""
