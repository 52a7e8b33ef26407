"""What `--source S` means, and how each kind of source is read, sampled and simulated. Knows no Kafka."""
