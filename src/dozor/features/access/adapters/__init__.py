"""Where access meets libraries: SQL, bcrypt, JSON web tokens, one-time codes, files of audit lines."""
