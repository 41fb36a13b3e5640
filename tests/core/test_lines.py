import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError
from agentrec.core.lines import append_line, read_lines

CONTENT = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=8), max_size=3)


@settings(deadline=None, max_examples=40)
@given(lines=st.lists(CONTENT, min_size=1, max_size=5), cut=st.integers(1, 200), after=CONTENT)
def test_a_file_cut_anywhere_keeps_all_whole_lines_and_can_be_gone_on_with(tmp_path_factory, lines, cut, after):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    for line in lines:
        append_line(path, line)
    content = path.read_bytes()
    kept = content[: max(0, len(content) - cut)]
    path.write_bytes(kept)
    append_line(path, after)
    ends = [len(b"".join(content.splitlines(keepends=True)[: n + 1])) for n in range(len(lines))]
    whole = [line for line, end in zip(lines, ends, strict=True) if end - 1 <= len(kept)]
    assert read_lines(path) == [*whole, after]


def test_no_file_is_no_lines_and_another_kind_of_line_is_refused(tmp_path):
    assert read_lines(tmp_path / "none.jsonl") == []
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": 1}) + "\n[1]\n")
    with pytest.raises(ArtefactError, match=r"line 2 of .*expected a JSON object"):
        read_lines(tmp_path / "a.jsonl")
