"""Images: reading, splits, batches, the cache, augmentation."""
