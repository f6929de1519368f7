"""What strangers, members, platforms and operators try, and what stops them."""
