"""Reports of an evaluation: pictures, mistakes, result files."""
