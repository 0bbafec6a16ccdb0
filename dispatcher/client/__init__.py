"""For services that stand on the dispatcher: hand in sends, read what became of them, over Redis streams.

    producer = Producer("redis://127.0.0.1:6390")
    producer.send({"account": "shop", "to": "+4915112345678", "text": "Hello", "key": "order-17"})

    reader = Reader("redis://127.0.0.1:6390", stream="events", after=position_kept_from_last_time)
    for row in reader:
        handle(row.map)
        keep(row.position)

Needs redis-py and msgspec; imports neither Trio nor a web framework. The wire types are those of the dispatcher itself.
"""

from __future__ import annotations

from dispatcher.client.producer import CHUNK_SENDS_MAX, Producer
from dispatcher.client.reader import Reader, Row, StreamName
from dispatcher.core.model import (
    EVENT_COLUMNS,
    INBOUND_COLUMNS,
    EventRow,
    InboundRow,
    Lane,
    Refusal,
    Send,
    State,
)

__all__ = [
    "CHUNK_SENDS_MAX",
    "EVENT_COLUMNS",
    "INBOUND_COLUMNS",
    "EventRow",
    "InboundRow",
    "Lane",
    "Producer",
    "Reader",
    "Refusal",
    "Row",
    "Send",
    "State",
    "StreamName",
]
