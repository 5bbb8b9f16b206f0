"""The release engine: custom resources become Helm releases, and stay what they should be.

`watches.yaml` maps kinds to charts; every row runs the same code. What is special about a kind is a `KindLogic`.
"""
