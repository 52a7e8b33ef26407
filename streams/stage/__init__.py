"""What the stage does with a window of frames: parse, look up in the cache, decode, pack, write, acknowledge.

May import: schemas, infra, `inference.image`, `inference.cache`, `inference.labelling`. Imports no Kafka client and no
Faust, and knows nothing of `source`, `retry` and `watch`, which give it frames and watch over it.
"""
