"""The operations, a file each; `_registry` lists them all."""
