import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError
from agentrec.evaluation.scoreboard.markers import replace_between, write_between_markers

OPEN, CLOSE = "<!-- part -->", "<!-- /part -->"
prose = st.text(st.sampled_from("ab |<!->\n\r\t é"), max_size=30)


@given(prose, prose, prose, prose)
def test_everything_outside_stays_and_the_inside_is_replaced(before, old, after, new):
    text = f"{before}\n{OPEN}\n{old}\n{CLOSE}\n{after}"
    made = replace_between(text, "part", new)
    assert made == f"{before}\n{OPEN}\n\n{new.strip()}\n\n{CLOSE}\n{after}"
    assert replace_between(made, "part", new) == made


def test_sections_do_not_disturb_each_other():
    text = f"<!-- part one -->\n1\n<!-- /part one -->\n{OPEN}\n2\n{CLOSE}\n"
    assert replace_between(text, "part", "3") == f"<!-- part one -->\n1\n<!-- /part one -->\n{OPEN}\n\n3\n\n{CLOSE}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{OPEN}\n",
        f"{CLOSE}\n",
        f"{CLOSE}\n{OPEN}\n",
        f"{OPEN}\n{OPEN}\n{CLOSE}\n",
        f"{OPEN}\n{CLOSE}\n{CLOSE}\n",
        f"write `{OPEN}` and `{CLOSE}` around it",
    ],
)
def test_markers_that_are_not_a_pair_are_refused(text):
    with pytest.raises(ConfigError, match="each once"):
        replace_between(text, "part", "new")


def test_files_keep_their_line_ends_and_are_written_only_when_needed(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(f"a\r\n{OPEN}\r\nold\r\n{CLOSE}\r\nb".encode())
    assert write_between_markers(path, "part", "new")
    assert path.read_bytes() == f"a\r\n{OPEN}\r\n\nnew\n\n{CLOSE}\r\nb".encode()
    stamp = path.stat().st_mtime_ns
    assert not write_between_markers(path, "part", "new")
    assert path.stat().st_mtime_ns == stamp
    with pytest.raises(ConfigError, match=r"a\.md: the markers of 'other'"):
        write_between_markers(path, "other", "new")
    with pytest.raises(ConfigError, match="does not exist"):
        write_between_markers(tmp_path / "none.md", "part", "new")
