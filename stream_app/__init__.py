"""A transaction's path: from Kafka, through features and model, to an alert."""
