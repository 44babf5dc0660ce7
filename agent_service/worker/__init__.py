"""The process that runs tasks: a supervisor that watches, and a long-lived child that works."""
