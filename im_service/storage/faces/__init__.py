"""The Protocols of `base`, turned into operations. An engine adds how operations run, and the hot append."""

from im_service.storage.faces.groups import GroupsFace
from im_service.storage.faces.messages import MessagesFace
from im_service.storage.faces.people import PeopleFace
from im_service.storage.faces.rooms import RoomsFace


class Facade(MessagesFace, GroupsFace, PeopleFace, RoomsFace):
    """All of a Store but `append`, `start`, `stop` and `stats`."""
