from bench.system.processes import batch_counts, counted
from local.ports import free_port

_EXPOSITION = """# HELP dragoman_message_batch_rows Messages in one transaction
dragoman_message_batch_rows_bucket{le="1.0"} 90.0
dragoman_message_batch_rows_count 12.0
dragoman_message_batch_rows_sum 80.0
dragoman_message_delivery_batch_bytes_count 20.0
dragoman_edge_posts_total{way="owner"} 3.0
dragoman_edge_posts_total{way="any"} 2.0
dragoman_message_membership_refreshes_total{outcome="ok"} 1.0
"""


def test_series_of_one_name_are_added() -> None:
    assert counted(_EXPOSITION) == {"commits": 12, "delivery batches": 20, "requests": 5, "member lists": 1}


def test_a_process_that_does_not_answer_is_left_out() -> None:
    assert set(batch_counts([free_port()]).values()) == {0.0}
