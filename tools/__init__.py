"""Tools of the workshop: they build, check and describe the project and are never shipped."""
