"""How cost grows with cards, partitions, workers, features, trees and alerts: `make bench-growth`."""
