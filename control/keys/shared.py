"""The key files of a cluster in its documents, sealed under a secret that only gateways and control hold.

    document `keys/folder`:  version (1 byte) | nonce (24) | XChaCha20-Poly1305 of [generation, files by name]

A process with the secret begins with the cluster's keys, or shares its own where there are none yet. Then
each change of the folder, a rotation or a command, goes to the document at the revision it was made from; of
two that rotate at once one is kept, and what either ended is over (keys/last_shared.py); a change made while
nobody of the folder lived is shared by the next start. A document that is gone, or that comes back as an
older one, is put there again by those who live. Until it is shared nothing is signed with a new key
(KeyStore), so that no gateway meets a token before the key.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from control.audit.entry import DONE, OPERATORS, Words
from control.audit.log import AuditUnavailable
from control.audit.trail import make_log
from control.coordination.documents import Conflict, Document, Documents, DocumentsUnavailable
from control.coordination.replica import Replica
from control.errors import StartError
from control.keys.data_folder import KEY_FOLDER
from control.keys.errors import KeyFileError
from control.keys.files import MAX_BYTES, locked, make_private_directory, read_bytes, remove, write_bytes
from control.keys.keystore import KeyStore, would_make_keys
from control.keys.last_shared import hashes, merged, recall, remember
from control.keys.server_keys import ROOT_FILE
from control.logs import get_logger
from control.part import Part, Source
from control.settings import Settings

log = get_logger("keys")

KEY = "keys/folder"
MADE = "new-keys-"
TRIES = 8
"""Of a start that shares what was changed here, and meets others that change the keys."""
VERSION = b"\x02"
FIRST_VERSION = b"\x01"
"""The files alone."""
NONCE_BYTES = 24
_NAME = re.compile(r"(root|server-\d{5}|ticket-\d{10}|token-[A-Za-z0-9_-]{43})\.json")
Files = dict[str, bytes]
Joined = tuple[int, int]
"""(revision of the document, generation of the keys in it)"""


class NotTheSecret(Exception):
    """The document was sealed under another secret, or is damaged."""


class Shared(NamedTuple):
    """The files, and how often they were changed since the first of them: an older copy has a lower one."""

    generation: int
    files: Files


class SharedKeys(Part):
    """Keeps a folder and the document the same. `joined`: what `join_keys` answered."""

    def __init__(self, settings: Settings, documents: Documents, keystore: KeyStore, joined: Joined) -> None:
        self._folder = settings.server.data_dir / KEY_FOLDER
        self._secrets = secrets_of(settings)
        self._documents = documents
        self._replica = Replica(documents, KEY)
        self._revision, self._generation = joined
        self._files = read_folder(self._folder)
        self._untaken: Document | None = None
        self._heard = 0
        self._lost = False  # the document is gone, or older than what is here
        self._problem = ""
        self.on_change: Callable[[str, int], None] = lambda what, revision: None
        """is called with `share` or `take`, and the revision of the document"""
        keystore.shared = lambda: self._files.keys()

    async def start(self) -> None:
        await self._replica.start()
        self._replica.on_change(self._take)

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop()

    async def tick(self) -> None:
        """Share what changed here, and take what could not be taken before."""
        if self._untaken is not None:
            self._take(KEY, self._untaken)
            return
        try:
            revision, heard = self._revision, self._heard
            found = await asyncio.to_thread(read_folder, self._folder)
            changed = found != self._files
            if not (changed or self._lost) or revision != self._revision:
                return  # others' keys came meanwhile, and are looked at with the next tick
            if found.get(ROOT_FILE) != self._files.get(ROOT_FILE):
                self._tell("the root key here is another one than that of the cluster: it is not shared")
                return
            generation = self._generation + changed
            sealed = seal(self._secrets[0], Shared(generation, found))
            document = await self._documents.put(KEY, sealed, revision)
        except Conflict:
            return  # another process changed the keys: they are on their way, and these are added
        except (DocumentsUnavailable, KeyFileError) as error:
            self._tell(f"changed keys are not shared yet: {error}")
            return
        if heard == self._heard:  # else it is known already what is there, this or something later
            self._have(document, Shared(generation, found))
            self._remember()
        if document.revision == self._revision:
            log.info("keys are shared", revision=document.revision, files=len(found))
            self.on_change("share", document.revision)

    def _take(self, key: str, document: Document | None) -> None:
        if key != KEY or (document is not None and document.revision == self._revision):
            return
        self._heard += 1
        self._untaken = None
        if document is None:
            self._revision, self._lost = 0, True
            log.warning("the document of the keys is gone: those of this folder are shared again")
            return
        try:
            shared = unseal(self._secrets, document.value)
            if shared.files.get(ROOT_FILE) != self._files.get(ROOT_FILE):
                raise KeyFileError(
                    f"the document {KEY} has another root key than this process: if it is foreign, delete it"
                    " there, and those who live share theirs again"
                )
            if shared.generation < self._generation:
                self._revision, self._lost = document.revision, True
                log.warning("the document of the keys is an older one: those of this folder are shared again")
                return
            here = read_folder(self._folder)
            both = merged(hashes(self._files), here, shared.files)
            write_folder(self._folder, both)
            remember(self._folder, shared.generation, shared.files)
        except (NotTheSecret, KeyFileError, OSError) as error:
            self._untaken = document
            self._tell(f"the cluster's keys cannot be taken over: {error}")
            return
        self._have(document, shared)
        log.info("keys of the cluster taken over", revision=document.revision, files=len(shared.files))
        self.on_change("take", document.revision)

    def _have(self, document: Document, shared: Shared) -> None:
        self._revision, (self._generation, self._files) = document.revision, shared
        self._lost, self._problem = False, ""

    def _remember(self) -> None:
        try:
            remember(self._folder, self._generation, self._files)
        except (KeyFileError, OSError) as error:
            log.error("what is shared of the keys cannot be remembered", reason=str(error))

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("keys are not shared", reason=problem)

    def sources(self) -> Mapping[str, Source]:
        return {"shared_keys": lambda: {"unshared": int(bool(self._problem))}}


async def join_keys(
    settings: Settings, documents: Documents, refuse_foreign: Callable[[str], Awaitable[None]]
) -> Joined:
    """Begin with the cluster's keys, or give it those of this folder. `refuse_foreign(root)` raises
    StartError when somebody lives in the cluster and has another root key than this one ("" is none). Raises
    StartError, BusError, DocumentsUnavailable, KeyFileError.
    """
    folder = settings.server.data_dir / KEY_FOLDER
    document = await documents.get(KEY)
    if document is None:
        makes = would_make_keys(settings)
        await refuse_foreign("" if makes else KeyStore(settings).root)
        given = Shared(1, _made_elsewhere(settings)) if makes else _completed(settings)
        try:
            document = await documents.put(KEY, seal(secrets_of(settings)[0], given), 0)
        except Conflict:
            document = await documents.get(KEY)
        else:
            await _note_share(settings, document.revision)
    if document is None:
        raise StartError("the cluster's keys come and go: start again")
    for _ in range(TRIES):
        shared = shared_with(settings, document)
        if (changed := _changed_here(folder, shared)) is None:
            break
        try:
            document = await documents.put(KEY, seal(secrets_of(settings)[0], changed), document.revision)
        except Conflict:
            if (document := await documents.get(KEY)) is None:
                raise StartError("the cluster's keys come and go: start again") from None
            continue
        log.warning("keys were changed here while nobody could share them: they are shared now")
        await _note_share(settings, document.revision)
    else:
        raise StartError("the cluster's keys are changed by others all the time: start again")
    make_private_directory(settings.server.data_dir)
    make_private_directory(folder)
    write_folder(folder, shared.files)
    remember(folder, shared.generation, shared.files)
    return document.revision, shared.generation


def _changed_here(folder: Path, there: Shared) -> Shared | None:
    """The cluster's keys with what was changed in the folder since it had them; None where nothing was. Where
    the documents are those of a snapshot from before, the folder's are the newer ones."""
    last = recall(folder)
    if last is None or not (folder / ROOT_FILE).exists():
        return None
    here = read_folder(folder)
    if last.generation > there.generation:
        return Shared(last.generation + (hashes(here) != last.files), here)
    both = merged(last.files, here, there.files)
    return Shared(there.generation + 1, both) if both != there.files else None


def _made_elsewhere(settings: Settings) -> Files:
    """New keys. The folder gets those that the cluster has in the end: of processes that start together one
    gives its own, and who ends here has made nothing."""
    data = settings.server.data_dir
    make_private_directory(data)
    with locked(data):  # others that share it begin after this one
        for left in data.glob(f"{MADE}*"):  # by a start that was killed
            shutil.rmtree(left)
        return _made(settings)


def _made(settings: Settings) -> Files:
    with tempfile.TemporaryDirectory(prefix=MADE, dir=settings.server.data_dir) as made:
        server = replace(settings.server, data_dir=Path(made))
        KeyStore(replace(settings, server=server), create=True)
        return read_folder(Path(made) / KEY_FOLDER)


def _completed(settings: Settings) -> Shared:
    """The keys of the folder, which had a root, and may have been those of a cluster."""
    KeyStore(settings, create=True)
    folder = settings.server.data_dir / KEY_FOLDER
    here, last = read_folder(folder), recall(folder)
    return Shared(1 if last is None else last.generation + (hashes(here) != last.files), here)


async def _note_share(settings: Settings, revision: int) -> None:
    """The first one is made before any part runs that would note it."""
    if "control" not in settings.server.roles:
        return
    words = Words(what="keys.share", via="start", outcome=DONE, after=revision)
    try:
        await asyncio.to_thread(make_log(settings, OPERATORS).append, [words])
    except AuditUnavailable as error:
        log.error("a change was not audited", what=words.what, reason=str(error))


def shared_with(settings: Settings, document: Document) -> Shared:
    """What a process with these settings begins with. Raises StartError when its secret or its root key is
    another one, KeyFileError.
    """
    folder = settings.server.data_dir / KEY_FOLDER
    try:
        shared = unseal(secrets_of(settings), document.value)
    except NotTheSecret as error:
        raise StartError(str(error)) from None
    has_root = (folder / ROOT_FILE).exists()
    if has_root and read_folder(folder).get(ROOT_FILE) != shared.files.get(ROOT_FILE):
        raise StartError(
            f"the root key in {folder} is not that of this cluster's document {KEY}: where the document is"
            " right, move the folder away, and its keys come; where the folder is, delete the document"
        )
    return shared


def secrets_of(settings: Settings) -> list[str]:
    """What seals, and what may have sealed before."""
    auth = settings.auth
    return [text for text in (auth.keys_secret.reveal(), auth.keys_secret_before.reveal()) if text]


def seal(secret: str, shared: Shared) -> bytes:
    nonce = bytes(random_bytes(NONCE_BYTES))
    plain = msgspec.msgpack.encode(shared)
    return (
        VERSION
        + nonce
        + crypto_aead_xchacha20poly1305_ietf_encrypt(plain, KEY.encode(), nonce, _key_of(secret))
    )


def unseal(secrets: Sequence[str], sealed: bytes) -> Shared:
    """What was sealed. Raises NotTheSecret."""
    nonce, box = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    for secret in secrets if sealed[:1] in (VERSION, FIRST_VERSION) else ():
        try:
            plain = crypto_aead_xchacha20poly1305_ietf_decrypt(box, KEY.encode(), nonce, _key_of(secret))
            if sealed[:1] == VERSION:
                shared = msgspec.msgpack.decode(plain, type=Shared)
            else:
                shared = Shared(0, msgspec.msgpack.decode(plain, type=Files))
        except (CryptoError, ValueError):  # msgspec's errors are such
            continue
        if all(_NAME.fullmatch(name) for name in shared.files) and ROOT_FILE in shared.files:
            return shared
    raise NotTheSecret("auth.keys_secret is not the one under which the cluster's keys are sealed")


def read_folder(folder: Path) -> Files:
    """The key files, as they are at one moment. Raises KeyFileError."""
    with locked(folder):
        names = sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
        return {name: read_bytes(folder / name, MAX_BYTES) for name in names}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder's key files these: what is new is there before what is over goes. Raises KeyFileError,
    OSError.
    """
    with locked(folder):
        for name, content in files.items():
            path = folder / name
            if not path.exists() or read_bytes(path, MAX_BYTES) != content:
                write_bytes(path, content, replace=True)
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in files:
                remove(path)


def _key_of(secret: str) -> bytes:
    return blake2b(secret.encode(), digest_size=32, person=b"qianwan keys").digest()
