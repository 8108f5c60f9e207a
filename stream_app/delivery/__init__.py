"""Each record decided once, whatever is killed: partitions, takeovers, rebuilding."""
