"""Published facts as data: recipes, sizes, sources. Imports nothing but the contract."""
