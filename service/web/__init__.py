"""The pages for people: members by their links, in three languages, with nothing but HTML."""
