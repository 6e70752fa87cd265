"""Times, columns and signs on terminals of all kinds."""

from datetime import timedelta
from io import StringIO

import pytest
from cli_objects import NOW

from millgate.cli.text import Style, age, bar, columns, relative, span, style_for, utc
from millgate.cli.ticker import Ticker


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (0.84, "0.8s"),
        (9.96, "10.0s"),
        (12.7, "12s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m05s"),
        (600, "10m"),
        (7199, "119m"),
        (7200, "2h"),
        (10920, "3h02m"),
        (48 * 3600, "2d"),
        (41 * 86400, "41d"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_an_age_has_no_decimals() -> None:
    assert age(NOW - timedelta(seconds=3.7), NOW) == "3s"
    assert age(NOW + timedelta(seconds=5), NOW) == "0s"


def test_a_time_is_absolute_and_relative() -> None:
    assert relative(NOW - timedelta(minutes=48), NOW) == "01:12:00 UTC (48m ago)"
    assert relative(NOW + timedelta(minutes=10), NOW) == "02:10:00 UTC (in 10m)"
    assert utc(NOW - timedelta(days=1), NOW) == "2026-11-21 02:00:00 UTC"


@pytest.mark.parametrize(("percent", "full"), [(0, 0), (1, 0), (3, 1), (50, 10), (99, 20), (100, 20)])
def test_a_bar_has_twenty_cells(percent: int, full: int) -> None:
    assert bar(percent) == "█" * full + "░" * (20 - full)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns([("A", "BB"), ("CCC", "D")]) == ["A    BB", "CCC  D"]


@pytest.mark.parametrize(
    ("terminal", "encoding", "flag", "env", "style"),
    [
        (True, "utf-8", False, {"LANG": "en_US.UTF-8"}, Style(unicode=True, colour=True)),
        (False, "utf-8", False, {"LANG": "en_US.UTF-8"}, Style(unicode=True, colour=False)),
        (True, "utf-8", True, {"LANG": "en_US.UTF-8"}, Style(unicode=True, colour=False)),
        (True, "utf-8", False, {"LANG": "en_US.UTF-8", "NO_COLOR": "1"}, Style(unicode=True, colour=False)),
        (True, "utf-8", False, {"LANG": "en_US.UTF-8", "TERM": "dumb"}, Style(unicode=True, colour=False)),
        (True, "utf-8", False, {"LC_ALL": "C", "LANG": "en_US.UTF-8"}, Style(unicode=False, colour=True)),
        (True, "utf-8", False, {}, Style(unicode=False, colour=True)),
        (True, "latin-1", False, {"LANG": "de_DE.ISO-8859-1"}, Style(unicode=False, colour=True)),
        (True, "UTF8", False, {"LC_CTYPE": "C.utf8"}, Style(unicode=True, colour=True)),
    ],
)
def test_a_terminal_gets_only_what_it_can_show(
    *, terminal: bool, encoding: str, flag: bool, env: dict[str, str], style: Style
) -> None:
    assert style_for(is_terminal=terminal, encoding=encoding, no_color=flag, env=env) == style


def test_a_log_gets_a_line_every_few_seconds_and_never_a_spinner() -> None:
    stream = StringIO()
    ticker = Ticker(stream, Style(), is_terminal=False)
    for tenth in range(100):
        ticker.tick("waiting", tenth / 10)
    ticker.clear()
    assert stream.getvalue() == "waiting (3.0s)\nwaiting (6.0s)\nwaiting (9.0s)\n"


def test_a_spinner_leaves_no_trace_on_the_terminal() -> None:
    stream = StringIO()
    ticker = Ticker(stream, Style(), is_terminal=True)
    ticker.tick("a long line of waiting", 0.1)
    ticker.tick("short", 0.2)
    ticker.clear()
    assert "\n" not in stream.getvalue()
    longest = len("| a long line of waiting (0.1s)")
    *_, cleared, end = stream.getvalue().split("\r")
    assert end == ""
    assert cleared.strip() == ""
    assert len(cleared) <= longest
