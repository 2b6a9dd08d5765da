"""What kind of question a record asks, by the words that Q-Instruct and LLaVA's mix use. Pure.

Q-Instruct has yes-or-no, what and how questions, plain or with options, and descriptions of
quality; LLaVA's mix marks short answers and options by its two published prompts.
"""

from typing import Final

from qinstruct_trainer.data.records import Record

_OPTIONS: Final = ("answer with the option's letter", "\na.", "(a)", "choose between")
_SHORT: Final = "using a single word or phrase"
_STARTS: Final = {
    "yes-no": (
        *("is", "are", "was", "were", "does", "do", "did", "can", "could", "has", "have"),
        *("will", "would", "should"),
    ),
    "what": ("what", "which", "who", "whose", "where", "when", "why"),
    "how": ("how",),
    "description": ("describe", "evaluate", "assess", "rate", "analyze", "give", "provide"),
}


def question_kind(record: Record) -> str:
    """The kind of a record's first question."""
    text = next((turn.text for turn in record.turns if turn.speaker == "human"), "")
    plain = " ".join(text.replace("<image>", " ").lower().split())
    if not plain:
        return "no question"
    first = plain.split(None, 1)[0].strip(".,:;?!'\"")
    kind = next((kind for kind, words in _STARTS.items() if first in words), "other")
    if any(sign in text.lower() for sign in _OPTIONS):
        return f"{kind}, with options"
    return f"{kind}, short answer" if _SHORT in plain else kind
