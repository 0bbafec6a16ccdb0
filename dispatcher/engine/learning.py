"""How carriers write ids, as this engine knows it: the keys under which a receipt may be found, and what matches teach.

It refuses to know receipts beyond their ids, and how forms are told apart (core/id_forms).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dispatcher.core.id_forms import WORDS, IdForms
from dispatcher.core.matching import receipt_keys
from dispatcher.engine.works import Works


class Learning:
    """All carriers'. `keys` by carrier: receipt id -> keys, best first."""

    def __init__(self, works: Works) -> None:
        self._works = works
        quirks = {carrier.name: carrier.quirks for carrier in works.settings.carrier}
        self._forms = {name: IdForms() for name, each in quirks.items() if each.ids == "auto"}
        self.keys: dict[str, Callable[[str], tuple[str, ...]]] = {
            name: forms.keys if (forms := self._forms.get(name)) is not None else partial(receipt_keys, each.ids)
            for name, each in quirks.items()
        }

    def __bool__(self) -> bool:
        return bool(self._forms)

    def seen(self, carrier: str, receipt_id: str, key: str) -> None:
        """A receipt of that id was found under `key` ("": it is nobody's)."""
        works, forms = self._works, self._forms.get(carrier)
        if forms is None or not (forms.matched(receipt_id, key) if key else forms.missed()):
            return
        works.log.warning("receipt_ids_learned" if key else "receipt_ids_forgotten", carrier=carrier, kind=WORDS[forms.form])
        for form in WORDS:
            works.counters.put("dispatcher_receipt_ids", (carrier, form), form == forms.form)
