"""Commands of the aggregator."""
