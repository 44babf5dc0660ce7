"""Tests of the alerts from log lines."""
