"""A company's own part: its people and what they own, in a schema of its own."""
