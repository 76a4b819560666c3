"""Numbers for TensorBoard, written where they arise: a full disk is an error there, and no thread waits for ever."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

FLUSH = 10  # seconds between two times that the file is brought to the disk


class Board:
    """An event file in `folder`; what older ones there say of steps after `step` is void."""

    def __init__(self, folder: Path, step: int) -> None:
        self.events, self.flushed = EventsWriter(str(folder / "events")), time.monotonic()
        started = SessionLog(status=SessionLog.START)
        self.events.write_event(Event(wall_time=time.time(), step=step + 1, session_log=started))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write `values` for `step`. Raises OSError on a full disk."""
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self.events.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        if time.monotonic() - self.flushed > FLUSH:
            self.events.flush()
            self.flushed = time.monotonic()

    def close(self) -> None:
        self.events.close()
