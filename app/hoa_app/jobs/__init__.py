"""Work outside a request: the transactional outbox, its worker, and mail."""
