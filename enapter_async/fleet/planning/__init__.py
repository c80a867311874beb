"""What operations would do, before anything is sent, and the way back."""
