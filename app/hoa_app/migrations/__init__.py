"""The tenant schema's history: one line of four-digit revisions, applied by hoa_app.migrate."""
