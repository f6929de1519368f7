"""A member's page: what it says, made of an exchange's values. Nothing here writes."""
