"""Each payment decided once and published once, whatever is killed: partitions, takeover, rebuild, repartition."""
