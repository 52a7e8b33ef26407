"""What tests share: real services, a deployment with topics of its own, and `sightline` as a child process."""
