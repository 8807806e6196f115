"""The app: one process that serves every tenant behind the ingress."""
