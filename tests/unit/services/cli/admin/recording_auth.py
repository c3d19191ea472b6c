from shared.bus.client import Bus
from shared.contract.admin import Act, RecordAct, SearchTrail, Trail
from shared.contract.routes import Ack


class RecordingTrail:
    """A fake of auth's audit trail that records acts. It returns pages of two."""

    def __init__(self, bus: Bus) -> None:
        self.acts: list[Act] = []
        bus.serve(RecordAct.route, self._record)
        bus.serve(SearchTrail.route, self._search)

    async def _record(self, request: RecordAct) -> Ack:
        self.acts.append(Act(request.act, request.account, detail=request.detail, number=len(self.acts) + 1))
        return Ack()

    async def _search(self, request: SearchTrail) -> Trail:
        found = [act for act in reversed(self.acts) if not request.before or act.number < request.before]
        return Trail(found[:2], len(found) > 2)
