"""The stream processor: from frames to micro-batches.

`command` checks and runs, `processor` builds the parts and connects them: `source` (Faust) and `retry` give frames to
`stage`, which decodes them through `decode` and writes what becomes of them; `watch` pauses and ends the stage.
May import: every package of ours. Of the parts, only `source` and `retry` import another one, `stage`.
"""
