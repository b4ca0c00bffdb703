"""From a fresh clone to a working course: `bootstrap` sets up, `upgrade` refreshes the pins."""
