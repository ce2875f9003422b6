"""Files that ship with the program: the demo's portrait. Their origin is told in README.md beside them."""
