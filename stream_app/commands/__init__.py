"""The commands of `fraudstream`, a module each."""
