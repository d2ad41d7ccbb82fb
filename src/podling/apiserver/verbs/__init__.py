"""What can be done to stored objects: a module per verb, none of which knows HTTP."""
