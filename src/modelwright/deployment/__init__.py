"""Step 5, second half: what was made becomes a package, a folder that proves itself, and is served."""
