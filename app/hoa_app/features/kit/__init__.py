"""Small pure helpers that every feature leans on; nothing here knows a feature or does I/O."""
