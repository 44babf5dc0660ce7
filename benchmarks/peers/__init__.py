"""The same three tasks for each of the other queues, each in the form that its documentation recommends."""
