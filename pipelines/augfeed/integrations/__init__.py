"""What ties loaders into frameworks that cannot do it by themselves; each module needs its own."""
