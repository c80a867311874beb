"""Bytes that were originally well formed."""

import attrs
from hypothesis import strategies as st


@attrs.frozen
class Edit:
    """One edit of some bytes: at a position, a piece was removed and another inserted."""

    place: float
    lost: int
    came: bytes

    def __call__(self, data: bytes) -> bytes:
        at = int(self.place * len(data))
        return data[:at] + self.came + data[at + self.lost :]


PIECES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\r\n",
    b"\r\n\r\n",
    b'"',
    b"{",
    b"[" * 3000,
    b"null",
    b"-1",
    b"1e999",
    b"9" * 30,
    b",",
    b";",
    b"\xed\xa0\x80",
    b"\\ud800",
]

edits = st.builds(
    Edit,
    place=st.floats(0.0, 1.0),
    lost=st.integers(0, 12) | st.sampled_from([100, 100_000]),
    came=st.sampled_from(PIECES) | st.binary(max_size=6),
)


def damaged(*wholes: bytes) -> st.SearchStrategy[bytes]:
    """Return one of the byte strings after up to four edits."""

    def apply(whole: bytes, changes: list[Edit]) -> bytes:
        for change in changes:
            whole = change(whole)
        return whole

    return st.builds(apply, st.sampled_from(wholes), st.lists(edits, min_size=1, max_size=4))
