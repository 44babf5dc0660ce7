"""The HTTP edge: routers, authentication, problem+json errors and the pages for a person."""
