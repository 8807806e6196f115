"""Who is asking: users, passwords, sessions, tokens, roles."""
