"""Damage to bytes, whatever they mean."""

from typing import Final

from hypothesis import strategies as st

_TOKENS: Final = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\r\n",
    b"\x1b[2J",
    b"]",
    b"}",
    b'"',
    b",",
    b"\\",
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with up to three cuts, repeats, changed bytes or strange ones put in."""
    for _ in range(draw(st.integers(1, 3))):
        a = draw(st.integers(0, len(content)))
        b = min(len(content), a + draw(st.integers(0, 64)))
        match draw(st.integers(0, 4)):
            case 0:
                content = content[:a]
            case 1:
                content = content[:a] + content[b:]
            case 2:
                content = content[:b] + content[a:b] * draw(st.integers(1, 40)) + content[b:]
            case 3:
                content = content[:a] + draw(st.sampled_from(_TOKENS)) + content[a:]
            case _:
                content = content[:a] + bytes([draw(st.integers(0, 255))]) + content[a + 1 :]
    return content
