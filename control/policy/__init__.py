"""Heartbeat policies: what SREs publish for networks, carriers and regions, and how those fare who go by it.

model       a policy: whom it is for, its constants, as operators write it and as the wire has it
checks      what is wrong with one, and what it would cost: beats, battery, traffic
documents   draft, immutable versions, what holds now and its canary, as documents of the cluster
table       policies -> entries and rows of the gateway core
gateway     the gateway's side: REPORTs in, policies out, what is counted of both
arms        what is counted of canary and control; numbers of all gateways put together
sequential  the test of a canary against its control
guard       watches canaries and takes back what harms
survival    share of connections alive over the silence they had (Kaplan-Meier), and what follows from it
"""
