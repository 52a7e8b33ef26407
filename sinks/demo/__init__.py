"""`sightline demo`: runs the whole pipeline on one machine.

`command` is the wiring; `services` starts the local Kafka and Valkey; `cameras` configures the camera agent; `follower`
reads outcomes while the demo runs; `stats`, `quantiles` and `view` are pure; `screen` draws.
May import: base, infra (its audit proves at the end that no frame was lost), schemas. The other packages run as
processes of their own.
"""
