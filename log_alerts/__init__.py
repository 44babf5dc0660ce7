"""Alerts from log lines: `patterns.toml` says what to look for, and elastalert2 looks for it.

elastalert2 keeps a place where it has read to, counts within a window, and speaks to Alertmanager itself, so nothing of
that has to be written here. What it lacks is a short form and a check of it; that is this package.
"""
