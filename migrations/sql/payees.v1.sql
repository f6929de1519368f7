SELECT 1; -- filled in by the change that follows
