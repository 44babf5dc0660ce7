"""The routers, one module for each thing that the API offers."""
