"""The steps of training as one run, or as stages of DVC."""
