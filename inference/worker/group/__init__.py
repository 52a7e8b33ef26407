"""The worker as a member of its consumer group: clients, partitions it owns, start offsets, watchdog."""
