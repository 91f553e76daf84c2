"""What a group is set to, and the arguments and answers of group calls."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from im_service.calls import Args, Number, Positive, Seconds
from im_service.models import ROLE_NAMES
from im_service.settings import MOST_SLOW_S
from im_service.storage.records import Group, GroupMember, Request

JOIN_FREE, JOIN_APPROVAL, JOIN_CLOSED = "free", "approval", "closed"
REQUEST_JOIN, REQUEST_INVITE = 1, 2
OPEN, ACCEPTED, REFUSED, ENDED = 0, 1, 2, -1

Name = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=4096)]
Users = Annotated[list[str], Meta(min_length=1, max_length=500)]
JoinMode = Literal["free", "approval", "closed"]
Who = Literal["managers", "all"]


class GroupInfo(Struct, omit_defaults=True):
    """Stored as msgpack with the group's row.

    join: free, approval (owner or managers decide) or closed. invite: who may invite. agree: an invited
    user must accept. update: who may change name and texts. history: newcomers see what was said before
    them. slow_s: a member who is no manager says one thing in so many seconds.
    """

    name: Name = ""
    intro: Text = ""
    announcement: Text = ""
    icon: Annotated[str, Meta(max_length=2048)] = ""
    ext: Text = ""
    join: JoinMode = "approval"
    invite: Who = "managers"
    agree: bool = False
    update: Who = "managers"
    history: bool = True
    slow_s: Annotated[int, Meta(ge=0, le=MOST_SLOW_S)] = 0


_decode_info = msgspec.msgpack.Decoder(GroupInfo).decode
encode_info = msgspec.msgpack.Encoder().encode


def info_of(group: Group) -> GroupInfo:
    return _decode_info(group.info) if group.info else GroupInfo()


class GroupChanges(Args):
    """Settings in create and update; absent = as they are."""

    name: Name | None = None
    intro: Text | None = None
    announcement: Text | None = None
    icon: Annotated[str, Meta(max_length=2048)] | None = None
    ext: Text | None = None
    join: JoinMode | None = None
    invite: Who | None = None
    agree: bool | None = None
    update: Who | None = None
    history: bool | None = None
    slow_s: Annotated[int, Meta(ge=0, le=MOST_SLOW_S)] | None = None


SETTINGS = tuple(GroupInfo.__struct_fields__)
MODES = ("join", "invite", "agree", "update", "history", "slow_s")


def changed(info: GroupInfo, args: GroupChanges) -> tuple[GroupInfo, dict[str, object]]:
    """The settings with those that are given, and what differs, alone."""
    given = {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}
    new = msgspec.structs.replace(info, **given)
    return new, {name: value for name, value in given.items() if value != getattr(info, name)}


class GroupView(Struct):
    group: str
    owner: str
    limit: int
    members: int
    mute_all: bool
    created_ms: int
    rev: int
    name: str
    intro: str
    announcement: str
    icon: str
    ext: str
    join: JoinMode
    invite: Who
    agree: bool
    update: Who
    history: bool
    slow_s: int


class GroupList(Struct):
    groups: list[GroupView]
    more: bool


def describe(group: Group) -> GroupView:
    """A group as calls return it."""
    return GroupView(
        group=group.group,
        owner=group.owner,
        limit=group.member_limit,
        members=group.member_count,
        mute_all=group.mute_all,
        created_ms=group.created_ms,
        rev=group.rev,
        **msgspec.structs.asdict(info_of(group)),
    )


class MemberView(Struct):
    user: str
    role: str
    nick: str
    muted_until_ms: int
    joined_ms: int


class MemberPage(Struct):
    members: list[MemberView]
    more: bool


def describe_member(member: GroupMember) -> MemberView:
    return MemberView(
        member.user, ROLE_NAMES[member.role], member.nick, member.muted_until_ms, member.joined_ms
    )


class GroupRequest(Struct):
    """`kind`: join, `user` asks to come in; or invite, `by` asks the user."""

    id: int
    group: str
    kind: str
    user: str
    by: str
    text: str
    state: int
    time_ms: int


class GroupRequests(Struct):
    """`after`: where the next page begins."""

    requests: list[GroupRequest]
    after: int
    more: bool


def describe_request(request: Request) -> GroupRequest:
    return GroupRequest(
        id=request.id,
        group=request.scope[2:],
        kind="join" if request.kind == REQUEST_JOIN else "invite",
        user=request.user,
        by=request.by,
        text=request.text,
        state=request.state,
        time_ms=request.time_ms,
    )


class Invited(Struct):
    """`refused`: who takes no invitation, or none from me."""

    added: list[str]
    invited: list[str]
    refused: list[str]


class GroupCreated(GroupView):
    """`invited`, `refused`: of the first members, those who were asked, and those who take no invitation; as
    many as the answer has room for."""

    invited: list[str]
    refused: list[str]


class Joined(Struct):
    """`id`: of the application, when `joined` is false."""

    joined: bool
    id: int


class Removed(Struct):
    removed: list[str]


class GroupMuted(Struct):
    until_ms: int


class CreateArgs(GroupChanges, kw_only=True):
    group: str = ""
    owner: str = ""
    members: Annotated[list[str], Meta(max_length=500)] = field(default_factory=list)
    limit: Positive = 0


class UpdateArgs(GroupChanges, kw_only=True):
    group: str
    limit: Positive | None = None


class GroupArgs(Args):
    group: str


class MineArgs(Args):
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 500


class MembersArgs(Args):
    group: str
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class InviteArgs(Args):
    group: str
    users: Users
    text: Annotated[str, Meta(max_length=500)] = ""


class JoinArgs(Args):
    group: str
    text: Annotated[str, Meta(max_length=500)] = ""


class RequestsArgs(Args):
    group: str = ""
    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class DecideArgs(Args):
    group: str
    id: Number
    accept: bool


class TransferArgs(Args):
    group: str
    user: str
    leave: bool = False


class RoleArgs(Args):
    group: str
    users: Users
    role: Literal["manager", "member"]


class NickArgs(Args):
    group: str
    nick: Annotated[str, Meta(max_length=64)]
    user: str = ""


class MuteArgs(Args):
    group: str
    user: str
    seconds: Seconds = -1


class MuteAllArgs(Args):
    group: str
    on: bool
