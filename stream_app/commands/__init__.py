"""The commands of `fraudstream`, one module each."""
