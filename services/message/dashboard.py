"""What is worth watching of message."""

from shared.dashboard.panels import Board, Group, Unit, count, mean, now, rate, spread
from shared.dashboard.presets import ASKED, DATABASE, PRESENCE, PROCESS, REQUESTS

BOARD = Board(
    "message",
    (
        Group(
            "Messages",
            (
                rate("Acknowledged", "dragoman_message_acknowledged"),
                spread("Time to commit", "dragoman_message_commit_seconds"),
                mean("Messages in a batch", "dragoman_message_batch_rows"),
                count("Batches", "dragoman_message_batch_rows"),
                now("Not answered yet", "dragoman_message_queue_rows"),
                spread("Time to fan out", "dragoman_message_fan_out_seconds"),
                count("Envelopes", "dragoman_message_envelope_bytes"),
                spread("Size of an envelope", "dragoman_message_envelope_bytes", Unit.BYTES),
            ),
        ),
        Group(
            "Trouble",
            (
                rate("Refused", "dragoman_message_refused", by="code", bad=True),
                rate("Batches tried again", "dragoman_message_retries", by="cause", bad=True),
                rate("Nonces seen before", "dragoman_message_duplicates"),
                rate("Fan-outs given up", "dragoman_message_losses", bad=True),
                rate("Presence unknown", "dragoman_message_presence_unknown", bad=True),
                rate("Memberships asked for", "dragoman_message_membership_refreshes", by="outcome"),
            ),
        ),
        REQUESTS,
        DATABASE,
        PRESENCE,
        ASKED,
        PROCESS,
    ),
)
