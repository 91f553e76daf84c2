"""A service that goes on erasing, to be killed: python -m tests.support.erase_victim FOLDER"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.everything import SETTINGS
from tests.support.im_world import open_world


async def main(folder: str) -> None:
    async with open_world(Path(folder), SETTINGS) as world:
        pages = -1
        while True:
            if world.im.erasing.pages != pages:
                pages = world.im.erasing.pages
                print(pages, flush=True)
            await asyncio.sleep(0.0005)


asyncio.run(main(sys.argv[1]))
