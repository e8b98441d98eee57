"""The aggregator: jobs, rounds, sums."""
