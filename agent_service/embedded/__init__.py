"""The embedded form: Valkey, the API and the workers as child processes on one machine, without Docker."""
