"""Names for runs that were given none."""

from __future__ import annotations

import secrets

_ADJECTIVES = """
amber ample brave brisk calm candid clever coral crisp daring deft eager early fair fleet gentle glad golden grand hardy
honest ivory jolly keen kind lively loyal lucid mellow merry mild neat nimble noble patient plucky polite proud quick
quiet ready royal sable sage sharp silver sleek smart snug solid spry steady stout sunny swift tidy true vivid warm wise
""".split()  # noqa: SIM905 - a list of words, not of quotation marks
_NOUNS = """
auk badger bass bear bison crane crow deer dingo dove eagle egret elk falcon ferret finch fox gecko goose grouse gull
hare hawk heron ibex ibis jay kestrel kite lark linnet lion llama lynx marten mink mole moose newt orca osprey otter owl
panda perch pike plover puffin quail raven robin rook salmon seal shrew skua snipe stoat stork swan tern thrush toad
trout vole wolf wren
""".split()  # noqa: SIM905


def made_up_name() -> str:
    """A name such as `keen-otter-417`. Never uses the program's random stream."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
