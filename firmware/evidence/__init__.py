"""Everything a verifier needs, importable alone: canonical JSON, CMS, certificates, manifests. Pure."""
