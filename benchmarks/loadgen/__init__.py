"""The swarm: tens of thousands of real clients in one process, in C, driven by its own epoll loop.

What each file holds: `histogram` latency in the layout of HdrHistogram; `stamp` who sent what when, inside
the text of a message; `delivery` exact counting of lost, reordered and duplicated messages; `sockets`
connecting and writing; `wires/` one protocol each (QW1 and the peers'); `swarm` the loop; `worker` one
process of it; `fleet` all processes together; `tokens` logins minted before a run.
"""
