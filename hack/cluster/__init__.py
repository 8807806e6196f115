"""The local cluster: a real Kubernetes on a developer's machine, brought up and taken down by one command."""
