"""Forward passes over token sequences: tries, packs, masks, caches, fused layers."""
