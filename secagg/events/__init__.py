"""Everything that a daemon tells those who watch, or writes into its log: one struct for each kind."""
