"""Decoding in processes beside the event loop. `pool` deals out jobs; `child` is the process. Knows no Kafka."""
