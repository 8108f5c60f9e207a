"""What a score is made of: contributions, reasons, sentences."""
