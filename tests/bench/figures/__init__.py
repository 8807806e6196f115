"""The project's figures: measured on the local cluster by `make figures`, printed in one table."""
