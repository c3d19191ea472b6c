"""How results look on a terminal."""

from services.cli.admin.format import moment, record, table


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert table(["A", "NAME"], [(1, "x"), (1000, "")]) == "A     NAME\n1     x\n1000  -"


def test_wide_characters_take_two_columns() -> None:
    assert table(["NAME", "X"], [("名前です", 1), ("e\u0301a", 2)]) == "NAME      X\n名前です  1\ne\u0301a        2"


def test_what_people_call_themselves_cannot_control_the_terminal() -> None:
    assert "\x1b" not in table(["NAME"], [("\x1b[2Jgone",)])
    assert record([("name", "two\nlines")]) == "name  two\N{REPLACEMENT CHARACTER}lines"


def test_values_are_shown_in_plain_words() -> None:
    assert record([("disabled", True), ("secrets", ["md5", "plain"]), ("e-mail", "")]) == (
        "disabled  yes\nsecrets   md5, plain\ne-mail    -"
    )
    assert moment(1_577_836_800_000) == "2020-01-01 00:00:00 UTC"
