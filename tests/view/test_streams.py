"""What reaches a terminal."""

import io
import sys

import pytest

from trainer.view.sweep import table as sweep_table
from trainer.view.table import PLAIN, say


class Screen(io.StringIO):
    """A stream that claims to be a terminal, or not."""

    def __init__(self, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal


@pytest.mark.parametrize(("is_terminal", "best"), [(True, "\x1b[1;32mbest\x1b[0m"), (False, r"\x1b[1;32mbest\x1b[0m")])
def test_colours_reach_a_terminal_and_other_control_characters_are_shown(monkeypatch, is_terminal, best):
    assert (sweep_table.BEST, PLAIN) == ("\x1b[1;32m", "\x1b[0m")
    monkeypatch.setattr(sys, "stdout", Screen(is_terminal))
    say(f"{sweep_table.BEST}best{PLAIN} \x1b]0;owned\x07 \u202e größe")
    assert sys.stdout.getvalue() == rf"{best} \x1b]0;owned\x07 \u202e größe" + "\n"
