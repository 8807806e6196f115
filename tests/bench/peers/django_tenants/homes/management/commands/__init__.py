"""What an operator of this peer runs."""
