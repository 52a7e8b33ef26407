"""`sightline replay`: frames of the past go through the replay lane, exactly once each.

command -> run -> plan, copier -> history, lane_writer -> what it means (wish, ranges, selection, pacing, copies).
May import: ingest.publish, ingest.archive.
"""
