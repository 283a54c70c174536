"""HTTP routes: thin over the functions of feedback and trainer; they hold no SQL."""
