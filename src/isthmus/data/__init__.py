"""Pictures in, batches out: decoded once into a memory-mapped uint8 cache, then indexed as whole batches."""
