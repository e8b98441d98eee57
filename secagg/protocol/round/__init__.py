"""What every round has, whatever its engine: events and effects, phases that all share, messages, lists, notices."""
