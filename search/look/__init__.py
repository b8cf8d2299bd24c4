"""What a user's images are like, before anything is trained on them."""
