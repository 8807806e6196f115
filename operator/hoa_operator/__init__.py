"""The operator: turns HOATenant resources into databases, migration Jobs, routes and limits."""
