"""One file per protocol that the swarm speaks. Each fills a `Wire` table of `types.pxd`."""
