"""What pushes say, by locale."""

from __future__ import annotations

from collections.abc import Mapping

from frame.constants import MessageType

Texts = Mapping[str, str]
BUILT_IN: Mapping[str, Texts] = {
    "en": {
        "image": "[image]",
        "audio": "[audio]",
        "video": "[video]",
        "location": "[location]",
        "file": "[file]",
        "notification": "[notice]",
        "custom": "[message]",
        "named": "{name}: {text}",
        "hidden": "You have a new message",
        "recalled": "{name} took back a message",
        "recalled_hidden": "A message was taken back",
        "test": "This is a test",
    },
    "zh": {
        "image": "[图片]",
        "audio": "[语音]",
        "video": "[视频]",
        "location": "[位置]",
        "file": "[文件]",
        "notification": "[通知]",
        "custom": "[消息]",
        "named": "{name}: {text}",
        "hidden": "你收到一条新消息",
        "recalled": "{name}撤回了一条消息",
        "recalled_hidden": "一条消息已撤回",
        "test": "这是一条测试",
    },
}
NAMES = frozenset(BUILT_IN["en"])
"""Texts there are; `{name}` and `{text}` stand for the sender and what they said."""
OF_TYPE: Mapping[int, str] = {
    MessageType.IMAGE: "image",
    MessageType.AUDIO: "audio",
    MessageType.VIDEO: "video",
    MessageType.LOCATION: "location",
    MessageType.FILE: "file",
    MessageType.NOTIFICATION: "notification",
    MessageType.CUSTOM: "custom",
}


class Catalogue:
    """The texts that are built in, and those of the settings over them."""

    def __init__(self, more: Mapping[str, Texts], default: str) -> None:
        self._texts: dict[str, Texts] = dict(BUILT_IN)
        for locale, texts in more.items():
            key = _key(locale)
            self._texts[key] = {**self._texts.get(key, {}), **texts}
        self._default = {**BUILT_IN["en"], **self._find(default)}

    def of(self, locale: str) -> Texts:
        """`zh-Hant-TW` has the texts of `zh-Hant-TW`, or `zh-Hant`, or `zh`, or the default ones."""
        return {**self._default, **self._find(locale)} if locale else self._default

    def _find(self, locale: str) -> Texts:
        key = _key(locale)
        while key:
            if (found := self._texts.get(key)) is not None:
                return found
            key = key.rpartition("-")[0]
        return {}


def _key(locale: str) -> str:
    return locale.replace("_", "-").lower()


def fill(text: str, /, **words: str) -> str:
    """What a word says is not looked at again."""
    parts = []
    rest = text
    while rest:
        before, brace, after = rest.partition("{")
        name, end, behind = after.partition("}")
        parts.append(before)
        if not brace:
            break
        if end and name in words:
            parts.append(words[name])
            rest = behind
        else:
            parts.append("{")
            rest = after
    return "".join(parts)


def problem(texts: Mapping[str, Texts]) -> str:
    """What is wrong with texts of the settings, or ""."""
    for locale, named in texts.items():
        for name in named:
            if name not in NAMES:
                return f"{locale}: there is no text {name}; there are {', '.join(sorted(NAMES))}"
    return ""
