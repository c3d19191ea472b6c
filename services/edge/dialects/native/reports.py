"""native, both directions: `report`."""

from typing import Annotated

import msgspec

from services.edge.dialects.native.parameters import IndexParameters
from services.edge.dialects.native.requests import Caller
from shared.contract.ids import ChatId
from shared.contract.reports import OwnReport, ReportMessage


class ReportParameters(IndexParameters, kw_only=True):
    """A message of another account, which the operator then sees with the `reason`."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, examples=["insults"])]


class ReportInfo(msgspec.Struct):
    """`time`: of the report, Unix milliseconds."""

    chat: int
    index: int
    reason: str
    time: int


def report(wire: ReportParameters, caller: Caller) -> ReportMessage:
    return ReportMessage(ChatId(wire.chat), wire.index, wire.reason)


def info(report: OwnReport) -> ReportInfo:
    return ReportInfo(report.chat, report.index, report.reason, report.reported)
