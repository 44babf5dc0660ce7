"""Tests of what `make` runs around the compose file."""
