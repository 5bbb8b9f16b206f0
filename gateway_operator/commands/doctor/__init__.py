"""`gateway-operator doctor`: names what is wrong with the operator, its releases and its gateways.

Each area is a module that collects facts into plain dataclasses and judges them by pure rules; a new area is a module
and a line in `command.AREAS`.
"""
