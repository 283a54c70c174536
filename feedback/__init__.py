"""What people said: exchanges, feedback, review, trust. Imports nothing of trainer or serving."""
