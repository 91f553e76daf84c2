from typing import Final

EV_AUTH: Final[int]
EV_SEND: Final[int]
EV_CALL: Final[int]
EV_CLOSED: Final[int]
EV_TOPIC: Final[int]
EV_SESSION: Final[int]
EV_DROPPED: Final[int]
EV_PICKED: Final[int]
EV_LOOKED: Final[int]
LAYOUT: Final[str]
