"""The office: what a platform's own people see of it, signed in with one of its API keys."""
