"""What happens to a message or another text in which words of the lists stand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec

from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.moderation.lists import Severity
from im_service.moderation.matcher import Matcher
from im_service.moderation.texts import Text, call_with_texts, texts_of_call, texts_of_draft, with_texts
from im_service.ports import Clock
from im_service.sending.hooks import Action, Draft, Verdict

SUSPECT_MS = 3_600_000
"""So long after a hit a sender's texts are listened to as well (WordList.pinyin)."""
MOST_SUSPECTS = 10_000
REFUSED = "the text is not allowed here"
CALL = "call"
PASS = Verdict()


class Moderation:
    """A hook, and the judge of what is said by calls. Without lists it looks at nothing."""

    instant = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._matcher = Matcher({})
        self._suspects: OrderedDict[str, int] = OrderedDict()
        self._looked = 0
        self._verdicts: dict[tuple[str, Severity], int] = {}

    def use(self, matcher: Matcher) -> None:
        """Look by these lists from now on."""
        self._matcher = matcher
        for key in [key for key in self._verdicts if key[0] not in matcher.lists]:
            del self._verdicts[key]

    def wants(self, kind: str, type: int) -> bool:
        return bool(self._matcher)

    def judge(self, draft: Draft) -> Verdict:
        """Rejects, holds, or masks the words in body and ext."""
        body = msgspec.msgpack.decode(draft.body)
        texts = texts_of_draft(draft, body)
        refusal, changed, holds = self._look(draft.sender, draft.conversation[0], draft.type, texts)
        if refusal:
            return Verdict(Action.REJECT, text=refusal)
        verdict = PASS
        if changed:
            after = with_texts(body, lambda text: changed.get(text, text))
            ext = None if draft.ext is None else changed.get(draft.ext, draft.ext)
            verdict = Verdict(Action.REPLACE, msgspec.msgpack.encode(after), ext)
        return verdict if holds is None else self._held(verdict, holds)

    def _held(self, verdict: Verdict, holds: str) -> Verdict:
        """What is masked stays so. The list says for how long, or the settings do."""
        words = self._matcher.lists[holds]
        lapse = None if words.hold_default is None else words.hold_default == "release"
        return verdict._replace(action=Action.HOLD, rule=holds, hold_s=words.hold_s, lapse=lapse)

    def say(self, user: str, name: str, args: Args) -> Args:
        """A call with its words masked. Raises 403 where one is rejected, would be held, or stands in a name
        that cannot be masked."""
        if not self._matcher:
            return args
        refusal, changed, holds = self._look(user, CALL, None, texts_of_call(name, args))
        if refusal or holds is not None:
            raise ImError(Code.FORBIDDEN, refusal or REFUSED, {"hook": True})
        return call_with_texts(args, lambda text: changed.get(text, text)) if changed else args

    def _look(
        self, sender: str, kind: str, type: int | None, texts: Iterable[Text]
    ) -> tuple[str, dict[str, str], str | None]:
        """What the sender is told who is refused, else empty; what becomes of texts; and the list for which
        somebody has to look at them."""
        self._looked += 1
        looked = list(texts)
        found = self._matcher.look([text for text, _ in looked], kind, type, self._is_suspect(sender))
        severest = found.severest()
        if severest is None:
            return "", {}, None
        name, action = severest
        self._count(sender, {**found.actions, name: found.actions.get(name, action)})
        after = {looked[index]: text for index, text in found.changed().items()}
        stuck = any(not free for _, free in after)
        if action < Severity.REJECT and not stuck:
            return (
                "",
                {text: to for (text, _), to in after.items()},
                name if action == Severity.HOLD else None,
            )
        return self._matcher.lists[name].text or REFUSED, {}, None

    def _count(self, sender: str, actions: Mapping[str, Severity]) -> None:
        """One for each list with a hit, and its sender is listened to from now on."""
        for key in actions.items():
            self._verdicts[key] = self._verdicts.get(key, 0) + 1
        self._suspects[sender] = self._clock.elapsed_ms() + SUSPECT_MS
        self._suspects.move_to_end(sender)
        if len(self._suspects) > MOST_SUSPECTS:
            self._suspects.popitem(last=False)

    def _is_suspect(self, sender: str) -> bool:
        until = self._suspects.get(sender)
        if until is None:
            return False
        if until < self._clock.elapsed_ms():
            del self._suspects[sender]
            return False
        return True

    def stats(self) -> Mapping[str, object]:
        """Texts that were looked at, and those with a hit by "list action"."""
        return {
            "looked": self._looked,
            "hits": {
                f"{name} {action.name.lower()}": count for (name, action), count in self._verdicts.items()
            },
        }
