"""Commands for people: what the engine would do, what it did, how to go back, and what is wrong.

They work from any machine with a kubeconfig. Nothing here runs in the operator's process; they read the same objects
and use the same code, so that they can't tell another story than the engine does.
"""
