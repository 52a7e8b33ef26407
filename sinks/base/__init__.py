"""What sinks share: labels as text, and which labels were seen before. May import: infra, schemas."""
