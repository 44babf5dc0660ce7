"""What `make` runs around docker-compose.yml: secrets, checks before the start, checks of the stack's files."""
