"""Keys and datasets read again while requests go on."""

import asyncio
import logging

from augfeed import __version__
from augfeed.errors import InputError
from augfeed_service.auth import Keys
from augfeed_service.datasets import Mounted
from augfeed_service.datasets import mount as mount
from augfeed_service.service import Service

LOG = logging.getLogger("augfeed.service")


class Reload:
    """Reads keys and datasets again; what cannot be read stays as it was.

    A dataset with the fingerprint that it had is left alone. Of another one, batches under way are
    finished; who asks for a plan of it next is answered `unknown-plan`, and registers it again.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Read all again, one reload after the other."""
        async with self._lock:
            await self._keys()
            for mounted in list(self.service.datasets):
                await self._dataset(mounted)

    async def _keys(self) -> None:
        service = self.service
        try:
            # Threads that make batches may all be busy: these are others.
            service.keys = await asyncio.to_thread(Keys, service.settings.keys)
        except InputError as error:
            LOG.error("reload: the keys stay as they were: %s", error)
        else:
            LOG.info("reload: keys read")

    async def _dataset(self, old: Mounted) -> None:
        service = self.service
        path = service.settings.datasets[old.name]
        try:
            new = await asyncio.to_thread(mount, old.name, path, service.settings)
        except Exception as error:  # whatever a file that changes meanwhile leads to
            LOG.error("reload: dataset %s stays as it was: %s", old.name, error)
            return
        if new.fingerprint == old.fingerprint:
            LOG.info("reload: dataset %s has not changed", old.name)
            return
        service.datasets.put(new)
        info = service.metrics.info
        info.remove(__version__, old.name, old.fingerprint)
        info.labels(__version__, new.name, new.fingerprint).set(1)
        LOG.info("reload: dataset %s has %d samples, %d before", new.name, len(new.source),
                 len(old.source))  # fmt: skip
