"""What must hold of every reader whatever bytes it is given: one module for each target, README.md says how to run them."""
