"""What a new build owes to the one before it: its objects are still read, accepted and kept whole."""
