"""`sightline upload`: files and folders to an upload gateway. May import: infra, schemas."""
