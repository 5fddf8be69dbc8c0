"""Event time: how far it has come, which events are late, and in which order the others go on."""
