"""The fuzz targets, by the names of their modules: what reads, and what must hold afterwards."""
