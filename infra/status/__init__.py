"""What the processes of the pipeline say of themselves, on the compacted topic `pipeline.status`.

Ports are local and free, so nobody can scrape his way to all processes; everyone can read a topic.
May import: schemas, infra.settings, infra.process, infra.kafka.
"""
