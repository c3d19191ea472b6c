"""native: the members of its frames that hold no secret."""

from services.edge.dialects.json_frames import MemberMask

MEMBERS = MemberMask(
    public=(
        "accept accepted account accounts added address after again avatar away bans before blocks by changes "
        "changes_after chat chats client code count created deleted dialect dir edited email emoji emojis epoch ev "
        "expires exported face failure field file_bytes first frame_bytes friends from gap gone has have head here "
        "hits icon_id id identifier if_rev index indexed_to into join_policy joined joins kind limits links marks "
        "media members mentions mentions_only message messages mime mine more muted_until name nickname nonce on op "
        "operations owner page ping_ms pins presence profile query question_id re read recalled receipts "
        "refresh_expires refreshable rejected reply_to requests reset result results retry_ms rev role scheme "
        "segments sender server sessions sha256 sid signature silenced since size snippet start state states status "
        "supports t text text_bytes time timeline to topic total ttl_ms unknown unread until upto url username uses "
        "uuid v version wait_ms why window hook hooks bot bots reactors days scopes tokens next origin last_error "
        "reports reason device email_verified edit_s recall_s history_for_new outgoing_hooks bot_tokens "
        "paused rates waiting all entrance expensive ephemeral left_chats"
    ),
    objects="error limits secret old new verify data made",
    counts="reactions",
)
