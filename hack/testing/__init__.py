"""What `make test` runs: dependencies, checks, every level of tests, and one summary at the end."""
