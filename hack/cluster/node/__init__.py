"""The native node: one real Kubernetes node in namespaces of its own, for Linux machines without a Docker engine.

Everything runs below one init process in a PID, mount and network namespace. That makes `down` simple and certain:
when that init is killed the kernel ends every process, container and mount of the node with it.
"""
