"""``tierce``: the command line, and the processes under ``tierce up``."""
