"""Tests against the whole stack, as `docker compose` starts it."""
