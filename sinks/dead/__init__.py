"""`sightline dead list|show|export`: what could not be labelled, and why. May import: base, infra, schemas."""
