"""The composition root: settings, commands and the wiring of features into one program."""
