"""The subjects that session serves, and the use case behind each."""

from services.session.service.accounts import AccountProfiles
from services.session.service.announcements import SystemNotices
from services.session.service.chats import Chats
from services.session.service.friends import Friends
from services.session.service.hook_delivery import HookDelivery
from services.session.service.hooks import Hooks
from services.session.service.made import MadeByAccounts
from services.session.service.memberships import Memberships
from services.session.service.moderation import Moderation
from services.session.service.outgoing_hooks import OutgoingHooks
from services.session.service.reports import Reports
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract import subjects as on

_QUEUE = "session"


def route(
    bus: Bus,
    accounts: AccountProfiles,
    chats: Chats,
    friends: Friends,
    system: SystemNotices,
    neighbours: Neighbours,
) -> None:
    bus.serve(on.ENSURE_PROFILE, accounts.ensure_profile, queue=_QUEUE)
    bus.serve(on.GET_ACCOUNT, accounts.get_account, queue=_QUEUE)
    bus.serve(on.SET_PROFILE, accounts.set_profile, queue=_QUEUE)
    bus.serve(on.GET_PROFILE_SUMMARIES, accounts.get_profile_summaries, queue=_QUEUE)
    bus.serve(on.FIND_ACCOUNTS, accounts.find_accounts, queue=_QUEUE)
    bus.serve(on.ERASE_PROFILE, accounts.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_REGISTERED, accounts.account_registered)
    bus.consume(on.BOT_REGISTERED, accounts.account_registered)
    bus.consume(on.ACCOUNT_DELETED, accounts.account_deleted)

    bus.serve(on.CREATE_CHAT, neighbours.gated(chats.create_chat), queue=_QUEUE)
    bus.serve(on.OPEN_PRIVATE_CHAT, neighbours.gated(chats.open_private_chat), queue=_QUEUE)
    bus.serve(on.GET_CHAT, chats.get_chat, queue=_QUEUE)
    bus.serve(on.GET_CHATS, chats.get_chats, queue=_QUEUE)
    bus.serve(on.LIST_CHATS, chats.list_chats, queue=_QUEUE)
    bus.serve(on.LIST_CHAT_VIEWS, chats.list_chat_views, queue=_QUEUE)
    bus.serve(on.GET_MEMBERSHIP, chats.get_membership, queue=_QUEUE)
    bus.serve(on.RENAME_CHAT, chats.rename_chat, queue=_QUEUE)
    bus.serve(on.MUTE_CHAT, chats.mute_chat, queue=_QUEUE)
    bus.serve(on.SET_CHAT, chats.set_chat, queue=_QUEUE)
    bus.serve(on.SET_CHAT_RULES, chats.set_chat, queue=_QUEUE)
    bus.serve(on.FIND_RECEIPT_CHATS, chats.find_receipt_chats, queue=_QUEUE)

    bus.serve(on.REQUEST_FRIENDSHIP, friends.request_friendship, queue=_QUEUE)
    bus.serve(on.ANSWER_FRIENDSHIP, friends.answer_friendship, queue=_QUEUE)
    bus.serve(on.END_FRIENDSHIP, friends.end_friendship, queue=_QUEUE)
    bus.serve(on.SET_BLOCKED, friends.set_blocked, queue=_QUEUE)
    bus.serve(on.LIST_BLOCKED, friends.list_blocked, queue=_QUEUE)
    bus.serve(on.FIND_WATCHABLE, friends.find_watchable, queue=_QUEUE)
    bus.serve(on.FIND_BLOCKED_MEMBERS, friends.find_blocked_members, queue=_QUEUE)
    bus.serve(on.LIST_REQUESTS, friends.list_requests, queue=_QUEUE)
    bus.serve(on.LIST_PENDING_NOTICES, friends.list_pending_notices, queue=_QUEUE)
    bus.serve(on.DROP_PENDING_NOTICES, friends.drop_pending_notices, queue=_QUEUE)

    bus.serve(on.LIST_ACCOUNTS, system.list_accounts, queue=_QUEUE)
    bus.serve(on.OPEN_NOTICES, neighbours.gated(system.open_notices), queue=_QUEUE)


def route_members(bus: Bus, memberships: Memberships, moderation: Moderation) -> None:
    bus.serve(on.REQUEST_MEMBERSHIP, memberships.request_membership, queue=_QUEUE)
    bus.serve(on.ANSWER_MEMBERSHIP, memberships.answer_membership, queue=_QUEUE)
    bus.serve(on.ADD_MEMBER, memberships.add_member, queue=_QUEUE)
    bus.serve(on.ADD_MEMBERS, memberships.add_members, queue=_QUEUE)
    bus.serve(on.CREATE_LINK, memberships.create_link, queue=_QUEUE)
    bus.serve(on.LIST_LINKS, memberships.list_links, queue=_QUEUE)
    bus.serve(on.DELETE_LINK, memberships.delete_link, queue=_QUEUE)
    bus.serve(on.JOIN_BY_LINK, memberships.join_by_link, queue=_QUEUE)
    bus.serve(on.END_MEMBERSHIP, memberships.end_membership, queue=_QUEUE)
    bus.serve(on.SET_ROLE, memberships.set_role, queue=_QUEUE)
    bus.serve(on.BAN_MEMBER, moderation.ban_member, queue=_QUEUE)
    bus.serve(on.UNBAN_MEMBER, moderation.unban_member, queue=_QUEUE)
    bus.serve(on.LIST_BANS, moderation.list_bans, queue=_QUEUE)
    bus.serve(on.SILENCE_MEMBER, moderation.silence_member, queue=_QUEUE)
    bus.serve(on.DISBAND_CHAT, moderation.disband_chat, queue=_QUEUE)
    bus.serve(on.LIST_MEMBERS, memberships.list_members, queue=_QUEUE)


def route_made(bus: Bus, made: MadeByAccounts) -> None:
    bus.serve(on.LIST_MADE, made.list_made, queue=_QUEUE)
    bus.serve(on.END_MADE, made.end_made, queue=_QUEUE)
    bus.serve(on.LIST_ALL_HOOKS, made.list_hooks, queue=_QUEUE)
    bus.serve(on.DELETE_ANY_HOOK, made.delete_hook, queue=_QUEUE)


def route_hooks(bus: Bus, hooks: Hooks, outgoing: OutgoingHooks, delivery: HookDelivery) -> None:
    bus.serve(on.CREATE_HOOK, hooks.create, queue=_QUEUE)
    bus.serve(on.LIST_HOOKS, hooks.list_hooks, queue=_QUEUE)
    bus.serve(on.DELETE_HOOK, hooks.delete, queue=_QUEUE)
    bus.serve(on.FIND_HOOK, hooks.find, queue=_QUEUE)
    bus.serve(on.CREATE_OUTGOING_HOOK, outgoing.create, queue=_QUEUE)
    bus.serve(on.LIST_OUTGOING_HOOKS, outgoing.list_hooks, queue=_QUEUE)
    bus.serve(on.DELETE_OUTGOING_HOOK, outgoing.delete, queue=_QUEUE)
    bus.serve(on.REPLAY_OUTGOING_HOOK, outgoing.replay, queue=_QUEUE)
    bus.consume(on.OUTGOING_HOOKS_DUE, delivery.messages_posted)


def route_reports(bus: Bus, reports: Reports) -> None:
    bus.serve(on.REPORT_MESSAGE, reports.report, queue=_QUEUE)
    bus.serve(on.LIST_OWN_REPORTS, reports.list_own, queue=_QUEUE)
    bus.serve(on.LIST_REPORTS, reports.list_open, queue=_QUEUE)
    bus.serve(on.CLOSE_REPORT, reports.close, queue=_QUEUE)
