"""What travels: the Avro schemas, the records, the codec, the headers and the errors.

May import: the standard library, fastavro, httpx2 (schema registry). Nothing of ours.
"""
