"""Other clusters: which there are, what runs in them, and how requests are spread over them.

members (who they are) → connection (what they say) → store (whom a policy may use) → mirror (written into the centre)
and shares (who gets how much) → status. Only members, connection and the writers do input and output.
"""
