"""Messages to members: made from the outbox, written in their language, sent, and accounted for."""
