"""What others and we say to each other: payments, labels, alerts, records, money, and what may stand in them."""
