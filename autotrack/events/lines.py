"""Events as lines of a journal, each with its checksum, and back."""

from __future__ import annotations

from binascii import crc32

import msgspec

from autotrack.events import contents, runs

FORMAT_VERSION = 1
"""Version of the journal format; a reader refuses a higher one."""

Event = (
    runs.JournalOpened
    | runs.JournalClosed
    | runs.SessionStarted
    | runs.EnvironmentCaptured
    | runs.RunStarted
    | runs.RunResumed
    | runs.RunUpdated
    | runs.RunEnded
    | runs.RankJoined
    | runs.RankEnded
    | runs.RankGone
    | runs.RunDegraded
    | contents.ParamsLogged
    | contents.MetricLogged
    | contents.MetricsLogged
    | contents.CurveLogged
    | contents.TagsSet
    | contents.TagDeleted
    | contents.DatasetLogged
    | contents.FitLogged
    | contents.TrialsLogged
    | contents.ModelLogged
    | contents.ModelRegistered
    | contents.ModelChanged
    | contents.ArtifactLogged
)
"""Any event; `decode` tells them apart."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)

SEAL = b',"c":"'
"""What stands before a line's checksum: 8 hexadecimal digits of CRC-32 (of zlib's kind) over all that precedes it."""


def encode(event: Event) -> bytes:
    """One event as one journal line, with its checksum, newline included."""
    body = _encoder.encode(event)[:-1]
    return b'%b,"c":"%08x"}\n' % (body, crc32(body))


def is_intact(line: bytes, sealed: bool) -> bool:
    """Whether a line is as it was written.

    Args:
        line: Without its newline.
        sealed: All lines of the journal have a checksum; otherwise one without counts as intact.
    """
    if line[-16:-10] == SEAL:
        return b"%08x" % crc32(line[:-16]) == line[-10:-2]
    return not sealed


def decode(line: bytes) -> Event:
    """One journal line as an event.

    Raises:
        msgspec.DecodeError: The line is no event of this format (torn, flipped bits, or written by a newer version).
    """
    event: Event = _decoder.decode(line)
    return event


def decode_lines(lines: bytes) -> list[Event]:
    """Many journal lines as events, several times as fast as one by one; empty lines are passed over.

    Raises:
        msgspec.DecodeError: One of the lines is no event of this format.
    """
    decoded: list[Event] = _decoder.decode_lines(lines)
    return decoded
