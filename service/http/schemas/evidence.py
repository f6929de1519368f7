"""Bodies and answers about the evidence of a case."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from service.http.schemas.base import (
    Answer,
    Body,
    CheckpointName,
    EvidenceRequestId,
    Instant,
    MemberId,
    ShortText,
)

Sort = Literal[
    "text", "photo", "document", "carrier", "handover_proof", "condition_out", "condition_back"
]
#: Sorts that are said in JSON; photographs and documents are sent as files.
SaidSort = Literal["text", "carrier", "handover_proof", "condition_out", "condition_back"]
#: Sorts that a file may be of.
FileSort = Literal["photo", "document", "handover_proof", "condition_out", "condition_back"]
Part = Annotated[str, Field(min_length=1, max_length=80, examples=["left pedal"])]
Words = Annotated[str, Field(min_length=1, max_length=20_000)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class CarrierFact(Body):
    """One thing that a carrier reports. It is evidence: nothing is paid because of it."""

    event: Literal[
        "accepted", "in_transit", "out_for_delivery", "delivered", "collected", "failed", "returned"
    ]
    at: Instant
    carrier: ShortText
    tracking: ShortText | None = None
    place: ShortText | None = None


class HandOverFact(Body):
    """What shows that a thing changed hands."""

    method: Literal["code", "qr", "slip", "signature", "locker", "witness", "other"]
    at: Instant
    checkpoint: CheckpointName | None = None
    place: ShortText | None = None


class AddEvidenceBody(Body):
    """Evidence in words or facts. A photograph or a document is sent to `…/evidence/files`."""

    member: MemberId | None = Field(
        default=None,
        description="The side whose evidence it is. Without it a platform brings its own.",
    )
    sort: SaidSort
    text: Words | None = None
    carrier: CarrierFact | None = Field(default=None, description="With the sort `carrier`.")
    hand_over: HandOverFact | None = Field(
        default=None, description="With the sort `handover_proof`."
    )
    part: Part | None = Field(
        default=None,
        description="Of a condition record: which part of the thing is described. The same part "
        "before and after is shown side by side.",
    )
    request: EvidenceRequestId | None = Field(
        default=None, description="What this answers, if the neutral asked for it."
    )

    @model_validator(mode="after")
    def _facts_of_their_sort(self) -> AddEvidenceBody:
        for facts, sort in ((self.carrier, "carrier"), (self.hand_over, "handover_proof")):
            if (facts is not None) != (self.sort == sort):
                raise ValueError(f"the sort '{sort}' and its facts come together or not at all")
        if self.part is not None and not self.sort.startswith("condition_"):
            raise ValueError("only a condition record names a part")
        return self


class AskBody(Body):
    """What is asked of one side: one of the listed sorts or questions, and no words beside."""

    side: Literal["payer", "payee"]
    sort: Sort | None = None
    question: Annotated[str, Field(pattern="^[a-z_]{1,60}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> AskBody:
        if (self.sort is None) == (self.question is None):
            raise ValueError("ask for a sort or a question, one of them")
        return self


class FileOut(Answer):
    """A file as it is kept: of an image, its pixels alone."""

    path: str = Field(description="Where the file is, for the case's people alone.")
    media_type: Literal["image/jpeg", "image/png", "application/pdf"]
    size: int = Field(description="Bytes.")
    sha256: Digest
    original_sha256: Digest = Field(description="Of the file as it was sent.")


class EvidenceOut(Answer):
    """A piece of evidence. Both sides and the neutrals see the same."""

    id: str
    object: Literal["evidence"]
    number: int = Field(description="Which piece of its case it is, from 1.")
    sort: Sort
    by: Literal["payer", "payee", "platform"]
    via: Literal["member", "platform", "helper"] = Field(description="Whose credential brought it.")
    at: Instant
    late: bool = Field(description="Brought when the time for evidence was over.")
    request: str | None = Field(description="What it answers.")
    text: str | None
    part: str | None
    facts: dict[str, Any] | None
    file: FileOut | None
    sha256: Digest = Field(description="Of all that it says; it outlives what it is of.")
    delete_at: Instant | None = Field(description="When it will be deleted: after its case closed.")
    deleted_at: Instant | None


class EvidenceRequestOut(Answer):
    """What a neutral asks of a side."""

    id: str
    object: Literal["evidence_request"]
    side: Literal["payer", "payee"]
    sort: Sort | None
    question: str | None
    at: Instant
    due_at: Instant
    answered_at: Instant | None
    evidence: str | None = Field(description="What answers it.")


class ConditionOut(Answer):
    """One part of a thing before and after, side by side."""

    part: str | None
    out: list[str]
    back: list[str]


class AskableOut(Answer):
    """What may be asked of one side, and nothing else."""

    side: Literal["payer", "payee"]
    sorts: list[Sort]
    questions: list[str]


class EvidenceListOut(Answer):
    """All evidence of a case, in the order in which it was brought."""

    object: Literal["list"]
    data: list[EvidenceOut]
    condition: list[ConditionOut] = Field(description="Condition records, side by side.")
    requests: list[EvidenceRequestOut]
    missing: list[Sort] = Field(description="Sorts without which the claim is not complete.")
    askable: list[AskableOut] = Field(description="What a neutral may ask of each side.")


class EvidenceViewOut(Answer):
    """One look: at a file, or at a list of the first pieces."""

    object: Literal["evidence_view"]
    at: Instant
    by: Literal["payer", "payee", "platform", "mediator"]
    evidence: str | None = Field(description="Whose file was seen.")
    list_up_to: int | None = Field(description="Up to which number the list was seen.")


class EvidenceViewsOut(Answer):
    """Every look at the evidence of a case, oldest first."""

    object: Literal["list"]
    data: list[EvidenceViewOut]
