"""service: the members of its frames that hold no secret."""

from services.edge.dialects.json_frames import MemberMask

MEMBERS = MemberMask(
    public=(
        "cause chat content count id index is_group member msg name push service_code state_code time type usrs values"
    ),
    objects="content",
)
