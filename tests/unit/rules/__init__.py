"""Tests of the alerts: rules, their own tests, routes and runbooks."""
