"""etcd: identity, leases and documents of a cluster. Nothing here loads gRPC before a client connects."""
