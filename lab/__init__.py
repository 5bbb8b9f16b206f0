"""A local Kubernetes made from nothing but package registries, for the demo and the tests.

The project's claims are about what happens in real clusters. So that anybody can check them on a laptop or in CI,
with no container engine, image registry or cloud account at hand, this package builds Kubernetes from its Go modules
and starts as much of it as a test needs: an API server in seconds (`lab.apiserver`), or several clusters whose pods
run (`lab.cluster`).
"""
