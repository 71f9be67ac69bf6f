"""Any number of runs, ranked metric by metric in sets that the intervals cannot separate."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.records import Run
from steelyard.reports.document import Document
from steelyard.reports.site.index_page import index_document
from steelyard.reports.site.standings import Standings


def build_leaderboard(
    runs: Sequence[Run], *, title: str = "Leaderboard", notes: Sequence[str] = ()
) -> Document:
    """Runs x primary metrics with rank sets, energy and size, as a single document.

    A rank set ``2–4`` says: one run lies wholly above this one's interval, and of all others three
    cannot be told apart from it or lie above. It is read pairwise from the marginal 95% intervals
    of the records, which is cautious (paired tests separate more) and not corrected for the number
    of runs. Runs whose signatures differ on a task, and imported runs, are not ranked together
    with the others on it. Of several runs of one candidate on one suite the newest is ranked; the
    earlier ones are listed below. ``steelyard.reports.site`` makes the pages around it.
    """
    return index_document(Standings(runs), title=title, notes=notes, linked=False)
