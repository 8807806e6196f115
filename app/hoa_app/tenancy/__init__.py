"""Which tenant a request belongs to, and what that tenant may use."""
