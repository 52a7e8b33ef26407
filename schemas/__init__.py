"""What travels: the Avro schemas, the records and their coordinates, the codec, the headers, the errors.

May import: the standard library, fastavro, httpx2 (schema registry). Nothing of ours.
"""
