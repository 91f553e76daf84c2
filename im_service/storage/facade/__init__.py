"""The Protocols of `base`, turned into operations. An engine adds how operations run, and the hot append."""

from im_service.storage.facade.groups import GroupsFace
from im_service.storage.facade.messages import MessagesFace
from im_service.storage.facade.people import PeopleFace
from im_service.storage.facade.rooms import RoomsFace


class Facade(MessagesFace, GroupsFace, PeopleFace, RoomsFace):
    """All of a Store but `append`, `start`, `stop` and `stats`."""
