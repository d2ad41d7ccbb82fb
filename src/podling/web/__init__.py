"""Pages over insight: what is drawn in a browser. Owns the files and who may have them; knows no cluster."""
