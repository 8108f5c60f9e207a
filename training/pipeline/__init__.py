"""All steps as one run, and as stages of DVC."""
