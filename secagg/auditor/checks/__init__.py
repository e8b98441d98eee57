"""One file per numbered check of the audit."""
