"""The mediator console: pages over the same use cases as the dispute desk's API."""
