"""Other people's wire formats: from a record's bytes, however framed and named, to the payment or label in it."""
