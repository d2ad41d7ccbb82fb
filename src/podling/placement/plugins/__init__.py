"""One rule a file, named as upstream names it. `podling.placement.profile` lists them."""
