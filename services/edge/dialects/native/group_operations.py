"""native: the operations of chats and groups."""

from services.edge.dialects.native import hooks, links, mutes, outgoing_hooks, parameters, requests, results
from services.edge.dialects.native.operation import MANAGES, READS, SENDS, USERS, Operation, RateClass

_READ, _WRITE = RateClass.READ, RateClass.WRITE
_Nothing, _Version = results.Nothing, results.VersionResult

GROUP_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "open", "find or create the private chat with an account",
        _WRITE, SENDS, parameters.AccountParameters, results.OpenResult, requests.open_private,
    ),
    Operation(
        "create", "create a group",
        _WRITE, MANAGES, parameters.CreateParameters, results.ChatResult, requests.create,
    ),
    Operation(
        "chat", "a chat and its members", _READ, READS, parameters.ChatParameters, results.ChatResult, requests.chat
    ),
    Operation(
        "set_chat", "change a group: its name, picture and topic, who may join, and what members may do and see",
        _WRITE, MANAGES, parameters.SetChatParameters, _Version, requests.set_chat,
    ),
    Operation(
        "mute", "be alerted of no messages of a chat until a time, or of mentions alone",
        _WRITE, MANAGES, mutes.MuteParameters, _Nothing, mutes.mute,
    ),
    Operation(
        "join", "join an open group, or ask to join",
        _WRITE, MANAGES, parameters.JoinParameters, results.JoinResult, requests.join,
    ),
    Operation(
        "answer_join", "answer a request to join",
        _WRITE, MANAGES, parameters.AnswerJoinParameters, _Version, requests.answer_join,
    ),
    Operation(
        "invite", "add friends, or applicants, to a group",
        _WRITE, MANAGES, parameters.InviteParameters, results.InviteResult, requests.invite,
    ),
    Operation(
        "link", "a link by which others join a group",
        _WRITE, MANAGES, parameters.LinkParameters, links.InvitationResult, requests.link,
    ),
    Operation(
        "links", "list the links of a group",
        _READ, MANAGES, parameters.ChatParameters, links.InvitationsResult, requests.links,
    ),
    Operation("unlink", "delete a link", _WRITE, MANAGES, parameters.UnlinkParameters, _Nothing, requests.unlink),
    Operation(
        "join_link", "join a group by a link",
        RateClass.EXPENSIVE, MANAGES, parameters.JoinLinkParameters, links.JoinLinkResult, requests.join_link,
    ),
    Operation(
        "create_hook", "an address to which programs post messages of a group",
        _WRITE, USERS, hooks.CreateHookParameters, hooks.CreateHookResult, hooks.create_hook,
    ),
    Operation(
        "hooks", "list the hooks of a group",
        _READ, MANAGES, parameters.ChatParameters, hooks.HooksResult, hooks.list_hooks,
    ),
    Operation(
        "delete_hook", "delete a hook",
        _WRITE, MANAGES, hooks.DeleteHookParameters, _Nothing, hooks.delete_hook,
    ),
    Operation(
        "create_outgoing_hook", "an address outside to which the messages of a group are posted",
        _WRITE, USERS, outgoing_hooks.CreateOutgoingHookParameters, outgoing_hooks.CreateOutgoingHookResult,
        outgoing_hooks.create_outgoing_hook,
    ),
    Operation(
        "outgoing_hooks", "list the outgoing hooks of a group",
        _READ, MANAGES, parameters.ChatParameters, outgoing_hooks.OutgoingHooksResult,
        outgoing_hooks.list_outgoing_hooks,
    ),
    Operation(
        "delete_outgoing_hook", "delete an outgoing hook",
        _WRITE, MANAGES, hooks.DeleteHookParameters, _Nothing, outgoing_hooks.delete_outgoing_hook,
    ),
    Operation(
        "replay_outgoing_hook", "post the messages from an index on, also again; a stopped hook goes on",
        _WRITE, MANAGES, outgoing_hooks.ReplayOutgoingHookParameters, outgoing_hooks.ReplayOutgoingHookResult,
        outgoing_hooks.replay_outgoing_hook,
    ),
    Operation("leave", "leave a group", _WRITE, MANAGES, parameters.ChatParameters, _Version, requests.leave),
    Operation(
        "kick", "remove a member from a group", _WRITE, MANAGES, parameters.MemberParameters, _Version, requests.kick
    ),
    Operation(
        "ban", "remove an account from a group, and keep it out",
        _WRITE, MANAGES, parameters.BanParameters, _Version, requests.ban,
    ),
    Operation("unban", "end a ban", _WRITE, MANAGES, parameters.MemberParameters, _Version, requests.unban),
    Operation(
        "bans", "list the banned accounts of a group",
        _READ, MANAGES, parameters.ChatParameters, results.BansResult, requests.bans,
    ),
    Operation(
        "silence", "let a member, or all, send nothing until a time",
        _WRITE, MANAGES, parameters.SilenceParameters, _Version, requests.silence,
    ),
    Operation(
        "disband", "end a group for all members",
        _WRITE, MANAGES, parameters.ChatParameters, _Version, requests.disband,
    ),
    Operation(
        "members", "a page of the members, their roles and names",
        _READ, READS, parameters.MembersParameters, results.MembersResult, requests.members,
    ),
    Operation(
        "role", "make a member an admin, or not",
        _WRITE, MANAGES, parameters.RoleParameters, _Version, requests.role,
    ),
    Operation(
        "transfer", "make a member the owner of a group",
        _WRITE, MANAGES, parameters.MemberParameters, _Version, requests.transfer,
    ),
)  # fmt: skip
