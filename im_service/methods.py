"""Every CALL method of the service, by name."""

from __future__ import annotations

from collections.abc import Mapping

import im_service.service  # noqa: F401  (what it wires is what registers)
from im_service.calls import Method, registered

METHODS: Mapping[str, Method] = registered()
