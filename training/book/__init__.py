"""The tables of the Fraud Detection Handbook."""
