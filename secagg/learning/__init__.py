"""Model layout, digests and aggregation algorithms in numpy."""
