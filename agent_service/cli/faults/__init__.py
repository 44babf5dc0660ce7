"""Faults on demand: each bounded in time, announced with the alert that it is to fire, and cleaned up after."""
