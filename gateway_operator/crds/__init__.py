"""What users write: the kinds as pydantic models, the CRDs generated from them, and the vocabulary of their status.

The code that acts on an object and the schema that the API server checks come from the same model, so they can't
disagree.
"""
