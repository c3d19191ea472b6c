"""OurChat v1: the members of its frames that hold no secret."""

from services.edge.dialects.json_frames import MemberMask

MEMBERS = MemberMask(
    public=(
        "account add_ocid cid code details email group_id group_name msg name ocId ocid private_id sender state text "
        "time"
    ),
    objects="data",
)
