"""The source topic through Faust: frames in, offsets out. Besides `infra.kafka` the only importer of a Kafka client."""
