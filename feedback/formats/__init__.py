"""Formats in and out, one module each; `docs/formats.md` says what each of them holds."""
