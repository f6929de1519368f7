"""The landing page of a development machine: one newcomer is each person of a story in turn."""
