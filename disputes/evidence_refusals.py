"""Why evidence, a file or a request for either is refused: one class a reason."""

from __future__ import annotations

from ledger.refusals import Refusal


class EvidenceNotFound(Refusal):
    """No such evidence in this case, or it has no file."""

    code = "evidence_not_found"


class EvidenceDeleted(Refusal):
    """The date of its deletion has passed; its hash alone is left."""

    code = "evidence_deleted"


class SortRefused(Refusal):
    """A sort of evidence that this author may not bring, or not in this form."""

    code = "evidence_sort_refused"


class TooMuchEvidence(Refusal):
    """This side has brought as many pieces, or as many bytes, as a case takes."""

    code = "too_much_evidence"


class NotListed(Refusal):
    """Something that nobody may ask of a party in a case for this reason."""

    code = "request_not_listed"


class AskedAlready(Refusal):
    """The same is asked of this side and not answered yet."""

    code = "asked_already"


class RequestNotFound(Refusal):
    """No such request in this case to this side."""

    code = "evidence_request_not_found"


class RequestAnswered(Refusal):
    """The request has its answer."""

    code = "evidence_request_answered"


class AnswerDoesNotFit(Refusal):
    """Another sort of evidence than the request asks for."""

    code = "answer_does_not_fit"


class FileTypeRefused(Refusal):
    """By its bytes, the file is of none of the types that are taken."""

    code = "file_type_refused"


class FileUnreadable(Refusal):
    """The file begins like one of its type, and is broken, cut short, or more than that."""

    code = "file_unreadable"


class FileActive(Refusal):
    """A document that does something when it is opened, or has other files inside."""

    code = "file_has_active_content"


class ImageTooLarge(Refusal):
    """An image of more pixels than we decode."""

    code = "image_too_large"
