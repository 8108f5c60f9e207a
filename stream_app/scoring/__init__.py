"""Records in, decisions out: decode, count, score, decide, judge by labels, follow a model."""
