"""A client that knows nothing but the contract tries everything, by itself and in sequences."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import CheckFunction
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    positive_data_acceptance,
    unsupported_method,
)

from service.app import create_app
from service.http.openapi import document
from tests.contract.conftest import OPERATOR, Live

QUICK = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def _headers(path: str, live: Live) -> dict[str, str]:
    """The operator's addresses take the operator's key, all others the platform's."""
    operator = path.startswith("/v1/platforms")
    return {"Authorization": f"Bearer {OPERATOR if operator else live.key}"}


@schemathesis.serializer("application/pdf")
def _as_it_is(_ctx: schemathesis.SerializationContext, value: Any) -> Any:
    """The body is the file itself."""
    return value


schema = schemathesis.openapi.from_dict(document(create_app()))


#: A schema cannot say everything: that a split sums to what is held, or that a cursor is one of
#: ours. Such a request is refused with a reason, which is what this check would object to.
EXCLUDED: list[CheckFunction] = [positive_data_acceptance]
#: GET on these meets the address of one exchange, whose id they are not: 404, which is true.
NAMED_LIKE_AN_ID = {"/v1/exchanges/batch", "/v1/exchanges/quote"}
#: How many random sequences of requests are followed.
SEQUENCES = 12
METHODS: list[CheckFunction] = [unsupported_method, allow_header_conformance]


@schema.parametrize()
@QUICK
def test_random_requests_get_what_the_contract_says(
    case: schemathesis.Case[Any], live: Live
) -> None:
    path = case.operation.path
    excluded = [*EXCLUDED, *(METHODS if path in NAMED_LIKE_AN_ID else [])]
    case.call_and_validate(
        base_url=live.url, headers=_headers(path, live), excluded_checks=excluded
    )


@pytest.mark.timeout(240)
def test_random_sequences_of_requests_keep_the_contract(live: Live) -> None:
    published = schemathesis.openapi.from_url(f"{live.url}/openapi.json")
    machine = published.as_state_machine()

    wrong: list[Exception] = []
    begun = 0

    class Sequences(machine):  # type: ignore[misc, valid-type]
        """Follows the links of the contract: what one answer names, the next request uses."""

        def setup(self) -> None:
            nonlocal begun
            begun += 1

        def validate_response(
            self, response: schemathesis.Response, case: schemathesis.Case[Any], **_kwargs: object
        ) -> None:
            try:
                case.validate_response(response, excluded_checks=EXCLUDED)
            except Exception as error:
                wrong.append(error)
                raise

        def get_call_kwargs(self, case: schemathesis.Case[Any]) -> dict[str, object]:
            return {"headers": _headers(case.operation.path, live)}

    while begun < SEQUENCES and not wrong:
        try:
            Sequences.run(
                settings=settings(
                    max_examples=SEQUENCES - begun,
                    stateful_step_count=12,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                )
            )
        except FlakyStrategyDefinition:
            # A service remembers: what may follow depends on what was there before, and the library
            # stops where one beginning goes on in two ways. The rest is begun anew.
            continue
    assert not wrong, wrong
