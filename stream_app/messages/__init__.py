"""What is said between us and others: payments, labels, alerts, records, and their parts."""
