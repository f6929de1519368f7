"""How those who mediate get into the dispute desk: invitations, passwords, codes and sessions."""
