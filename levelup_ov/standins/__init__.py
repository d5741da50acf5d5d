"""Stand-ins that never run in production: the sandbox, the LevelUp platform, and a sample shop."""
