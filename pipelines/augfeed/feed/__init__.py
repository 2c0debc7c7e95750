"""How a `DataLoader` is fed: the order of an epoch, fetching its samples, augmenting them."""
