"""OurChat v0: the members of its frames that hold no secret."""

from services.edge.dialects.json_frames import MemberMask

MEMBERS = MemberMask(
    public="cid code details emojiId mail msg nick ocId packages_num sender_id size state time",
    objects="data",
)
