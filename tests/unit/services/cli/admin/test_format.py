"""Results are formatted for a terminal."""

from services.cli.admin.format import moment, record, table


def test_columns_fit_their_widest_cell() -> None:
    assert table(["A", "NAME"], [(1, "x"), (1000, "")]) == "A     NAME\n1     x\n1000  -"


def test_wide_characters_have_two_columns() -> None:
    assert table(["NAME", "X"], [("名前です", 1), ("e\u0301a", 2)]) == "NAME      X\n名前です  1\ne\u0301a        2"


def test_control_characters_in_names_are_replaced() -> None:
    assert "\x1b" not in table(["NAME"], [("\x1b[2Jgone",)])
    assert record(("name", "two\nlines")) == "name  two\N{REPLACEMENT CHARACTER}lines"


def test_values_are_formatted_as_plain_words() -> None:
    assert record(("disabled", True), ("secrets", ["md5", "plain"]), ("e-mail", "")) == (
        "disabled  yes\nsecrets   md5, plain\ne-mail    -"
    )
    assert moment(1_577_836_800_000) == "2020-01-01 00:00:00 UTC"
