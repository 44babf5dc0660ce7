"""A function that does nothing, in a module that imports nothing: stock RQ imports it anew in every fork."""


def bare() -> None:
    """Do nothing."""
