"""The IM service: what messages mean. Order, options, conversations, groups, chatrooms, relations,
devices.

It opens no socket and knows no HTTP. `service.ImService` is the door; what it needs from outside stands in
`ports.py`, what it keeps durable in `storage/store.py`, and the meaning of every option in
`docs/MESSAGES.md`.
"""
