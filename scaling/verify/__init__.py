"""A family against its own records: rebuilt, recounted, its origin read again."""
