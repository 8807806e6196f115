"""Pure builders of every object the operator applies: dataclasses in, whole manifests out, one file per kind."""
