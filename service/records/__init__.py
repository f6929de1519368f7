"""Records: what the instance signs, publishes and hands over about what happened."""
