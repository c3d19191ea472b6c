"""OurChat v2: the members of its frames that hold no secret."""

from services.edge.dialects.json_frames import MemberMask

MEMBERS = MemberMask(
    public=(
        "account avatar avatar_hash code details email emoji_id friends hash login_type members msg msg_id name "
        "nickname ocid owner private_update_time public_update_time request_values session_id sessions size status "
        "text time type update_time url"
    ),
    objects="data sender",
)
