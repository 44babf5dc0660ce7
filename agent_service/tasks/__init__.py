"""Tasks: submit, read, cancel, retry. The only room that knows RQ."""
