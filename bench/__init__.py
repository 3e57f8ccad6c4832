"""What the daemon costs and how long it takes, each question beside a floor of the same run. `python -m bench --help`."""
