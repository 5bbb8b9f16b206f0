"""The validating webhook: says no to an Ingress before it is stored, where the controller would leave something out.

It is a convenience, never a guard: what gets past it is checked again by the controller. There is no nginx in it, and
it writes nothing that users wrote.
"""
