"""A mail server for the local cluster: takes every message, sends none, and shows them on a page."""
