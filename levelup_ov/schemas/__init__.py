"""The wire: what is read from and written to the channel, in marshmallow. Nothing else."""
