"""Why a model says what it says: contributions, reasons, sentences."""
