"""The channel's JSON in marshmallow: what is read, and what is written. Nothing else."""
