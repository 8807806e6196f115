"""The shared part: which companies there are, and how they are reached."""
