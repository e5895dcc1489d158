"""What has to be done now and then, beside the requests."""

import asyncio
import logging

from session_store import StoreError
from shop.database import store
from shop.settings import KEEP_HOURS, STUCK_SECS, UPKEEP_SECS

log = logging.getLogger(__name__)


async def upkeep() -> None:
    """Delete what nobody uses any more and free what a dead process left running, for ever.

    Every process of the application may do it: they do not get in each other's way.
    """
    while True:
        try:
            deleted = await store.cleanup_stale(KEEP_HOURS)
            # To idle, not to error: whoever waited for the answer that never came may ask again.
            recovered = await store.recover_stuck(STUCK_SECS, to="idle")
        except StoreError as error:
            log.warning("Upkeep is put off: %s", error)
        else:
            log.info("Upkeep: %d conversations deleted, %d freed", deleted, len(recovered))
        await asyncio.sleep(UPKEEP_SECS)
